// Package outbox stands between a relay, which must never wait, and relaymesh's
// message bus, which may be slow or away: it takes events at once, holds them
// in bounded memory, and publishes them from other goroutines until they are
// stored, over any number of failures.
//
// It knows no bus: whoever makes an [Outbox] gives it a function that publishes
// one [Message] and returns when it is stored. With NATS JetStream:
//
//	out := outbox.New(func(ctx context.Context, m outbox.Message) error {
//		_, err := js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
//		return err
//	}, outbox.Options{Sender: "wss://relay.example.com"})
//
// Events longer than [nostr.MaxEventBytes], which ingest would refuse, are not
// taken. The bus must take messages of that size and their headers; NATS takes
// 1 MiB unless max_payload says otherwise.
//
// What is held is lost with the process. What was published but not confirmed
// is published again, and may be stored twice: ingest takes an event once. There
// is no Nats-Msg-Id, since whoever may publish could have used an event's before.
package outbox
