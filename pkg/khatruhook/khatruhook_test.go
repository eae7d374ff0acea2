package khatruhook_test

import (
	"context"
	"testing"

	"github.com/fiatjaf/khatru"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/pkg/khatruhook"
	"github.com/relaymesh/relaymesh/pkg/outbox"
)

// What a relay does: three statements, and a connection to NATS.
func Example() {
	nc, err := nats.Connect("nats://127.0.0.1:4222", nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
	if err != nil {
		panic(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		panic(err)
	}
	relay := khatru.NewRelay()

	out := outbox.New(func(ctx context.Context, m outbox.Message) error {
		_, err := js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
		return err
	}, outbox.Options{Sender: "wss://relay.example.com"})
	relay.OnEventSaved = append(relay.OnEventSaved, khatruhook.OnEventSaved[*gonostr.Event](out))
	defer out.Close(context.Background())
}

func TestOnEventSavedHandsOverTheEventAsOnTheWire(t *testing.T) {
	var got outbox.Message
	out := outbox.New(func(_ context.Context, m outbox.Message) error { got = m; return nil }, outbox.Options{})
	e := gonostr.Event{Kind: 1, CreatedAt: 1_700_000_000, Tags: gonostr.Tags{{"t", "x"}}, Content: "a \"b\" <&> \n"}
	if err := e.Sign(gonostr.GeneratePrivateKey()); err != nil {
		t.Fatal(err)
	}
	khatruhook.OnEventSaved[*gonostr.Event](out)(t.Context(), &e)
	if lost := out.Close(t.Context()); lost != 0 {
		t.Fatalf("%d lost", lost)
	}
	var back gonostr.Event
	if err := back.UnmarshalJSON(got.Data); err != nil || back.GetID() != e.ID || len(got.Header["Nats-Msg-Id"]) != 0 {
		t.Errorf("got %s under %v, %v", got.Data, got.Header, err)
	}
}
