package outbox_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/outbox"
)

// A relay hands over what it has stored, and never waits.
func Example() {
	out := outbox.New(func(_ context.Context, m outbox.Message) error {
		fmt.Println(m.Subject, m.Header["Relaymesh-Sender"]) // or js.PublishMsg of NATS
		return nil
	}, outbox.Options{Sender: "wss://relay.example.com"})

	out.Put([]byte(`{"id":"5c83da77af1dec6d7289834998ad7aafbd9e2191396d75ec3cc27f5a77226f36","kind":1}`))

	fmt.Println(out.Close(context.Background()), "lost")
	// Output:
	// event.received [wss://relay.example.com]
	// 0 lost
}

// While the bus is away, as many events are held as the options allow. They are
// lost if the process ends before it is back.
func ExampleOutbox_Put() {
	out := outbox.New(func(context.Context, outbox.Message) error {
		return errors.New("NATS is away")
	}, outbox.Options{
		MaxEvents: 2,
		Dropped:   func(events int) { fmt.Println("dropped:", events) },
	})
	for range 3 {
		fmt.Println("taken:", out.Put([]byte(`{"kind":1}`)))
	}
	ctx, giveUp := context.WithCancel(context.Background())
	giveUp()
	fmt.Println("lost:", out.Close(ctx))
	// Output:
	// taken: true
	// taken: true
	// dropped: 1
	// taken: false
	// lost: 2
}

// An importer waits instead of losing something, and knows when all is stored.
func ExampleOutbox_PutWait() {
	ctx := context.Background()
	stored := make(chan string, 3)
	out := outbox.New(func(_ context.Context, m outbox.Message) error {
		stored <- string(m.Data)
		return nil
	}, outbox.Options{MaxEvents: 1})
	for kind := range 3 {
		if err := out.PutWait(ctx, fmt.Appendf(nil, `{"kind":%d}`, kind)); err != nil {
			fmt.Println(err)
			return
		}
	}
	if err := out.Flush(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-stored, <-stored, <-stored)
	// Output: {"kind":0} {"kind":1} {"kind":2}
}
