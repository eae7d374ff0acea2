package bus_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
)

// ignorant is a server that passes over settings which it does not know, as old ones do.
type ignorant struct{ jetstream.JetStream }

func (i ignorant) CreateStream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	c.AllowMsgSchedules = false
	return i.JetStream.CreateStream(ctx, c)
}

func (i ignorant) CreateKeyValue(ctx context.Context, c jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	c.LimitMarkerTTL = 0
	return i.JetStream.CreateKeyValue(ctx, c)
}

func TestWhatAServerDidNotSetIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := natstest.Connect(t, natstest.StartOn(t, natstest.Dir(t)))
		_, err := bus.Provision(context.Background(), ignorant{js}, bus.ProvisionOptions{})
		says(t, "the first stream with schedules", err,
			"create stream AUTHOR", "did not set what it was asked to", "schedules false → true", "2.14 is needed")
	})
	synctest.Test(t, func(t *testing.T) {
		js := natstest.Start(t)
		if err := js.DeleteKeyValue(context.Background(), "lost"); err != nil {
			t.Fatal(err)
		}
		_, err := bus.Provision(context.Background(), ignorant{js}, bus.ProvisionOptions{})
		says(t, "a bucket", err, "create bucket lost", "did not set what it was asked to")
	})
}

// Some of our streams hold what must not be bounded.
func TestAnAccountThatWantsBoundsIsRefused(t *testing.T) {
	js := accountWith(t, "max_file: 20000000000, max_bytes_required: true")
	made, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{})
	if len(made) > 0 {
		t.Errorf("made %v", made)
	}
	says(t, "provision", err, "max_bytes_required", "turn that off for this account")
}
