package bus

import (
	"context"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// advisoryDeleted is the subject of the server's own message that a stream was deleted, but
// for its name.
const advisoryDeleted = "$JS.EVENT.ADVISORY.STREAM.DELETED."

// GuardStreams returns an error as soon as somebody deletes a stream or a bucket of the pipeline, nil
// when ctx ends. Who provisions when it starts may end then, and start again: what the
// stages have learnt since would not be learnt a second time.
func GuardStreams(ctx context.Context, js jetstream.JetStream) error {
	deleted := make(chan *nats.Msg, 16)
	sub, err := js.Conn().ChanSubscribe(advisoryDeleted+"*", deleted)
	if err != nil {
		return fmt.Errorf("guard the streams: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may have ended
	prefix := PrefixOf(js)
	var ours []string
	for _, s := range prefix.Streams() {
		ours = append(ours, s.Name)
	}
	for _, b := range prefix.Buckets() {
		ours = append(ours, "KV_"+b.Name)
	}
	for {
		select {
		case m := <-deleted:
			if name := m.Subject[len(advisoryDeleted):]; slices.Contains(ours, name) {
				return fmt.Errorf("stream %s was deleted: the next start makes it again", name)
			}
		case <-ctx.Done():
			return nil
		}
	}
}
