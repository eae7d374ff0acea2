package bus

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// Compare says what [Provision] would make or change, schedules aside, and
// changes nothing. How many replicas there are is taken as intended.
func Compare(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	replicas := 1
	if s, err := js.Stream(ctx, events.StreamIntake); err == nil {
		replicas = s.CachedInfo().Config.Replicas
	}
	return provision(ctx, readOnly{js}, replicas)
}

// readOnly is a JetStream whose changes do nothing; Provision uses nothing of
// what they return.
type readOnly struct{ jetstream.JetStream }

func (readOnly) CreateStream(context.Context, jetstream.StreamConfig) (jetstream.Stream, error) {
	return nil, nil //nolint:nilnil // see above
}

func (readOnly) UpdateStream(context.Context, jetstream.StreamConfig) (jetstream.Stream, error) {
	return nil, nil //nolint:nilnil // see above
}

func (readOnly) CreateConsumer(context.Context, string, jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	return nil, nil //nolint:nilnil // see above
}

func (readOnly) UpdateConsumer(context.Context, string, jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	return nil, nil //nolint:nilnil // see above
}

func (readOnly) CreateKeyValue(context.Context, jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	return nil, nil //nolint:nilnil // see above
}

func (readOnly) UpdateKeyValue(context.Context, jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	return nil, nil //nolint:nilnil // see above
}
