// Package khatruhook hands every event that a khatru relay stores to relaymesh.
// The relay never waits for it: the hook puts the event into an
// [outbox.Outbox] and returns.
//
//	nc, err := nats.Connect("nats://127.0.0.1:4222", nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
//	js, err := jetstream.New(nc)
//	out := outbox.New(func(ctx context.Context, m outbox.Message) error {
//		_, err := js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
//		return err
//	}, outbox.Options{Sender: "wss://relay.example.com"})
//	relay.OnEventSaved = append(relay.OnEventSaved, khatruhook.OnEventSaved[*nostr.Event](out))
//
// Where the pipeline has a prefix (--nats-prefix), name it in [outbox.Options], too.
//
// It fits any relay that calls a function with the event: the package imports
// neither khatru nor a Nostr library.
package khatruhook

import (
	"context"
	"encoding/json"

	"github.com/relaymesh/relaymesh/pkg/outbox"
)

// OnEventSaved returns a function for khatru's hook of that name. E is the
// relay's type of an event, whose JSON is the event as on the wire. An event
// that is too long or exceeds the limits of the outbox is dropped, and
// [outbox.Options].Dropped tells of it.
func OnEventSaved[E json.Marshaler](out *outbox.Outbox) func(ctx context.Context, event E) {
	return func(_ context.Context, event E) {
		if text, err := event.MarshalJSON(); err == nil { // an event that came as JSON goes as JSON
			out.Put(text)
		}
	}
}
