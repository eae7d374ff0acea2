package run

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/internal/stage/fetch"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// emptyStore is a bucket in which nothing is.
type emptyStore[T any] struct{}

func (emptyStore[T]) Get(context.Context, string) (none T, found bool, err error) {
	return none, false, nil
}

func (emptyStore[T]) Update(_ context.Context, _ string, change func(T, bool) (T, bool)) (T, error) {
	var none T
	next, _ := change(none, false)
	return next, nil
}

func (emptyStore[T]) Remove(context.Context, string, func(T) bool) (bool, error) { return false, nil }

func (emptyStore[T]) Each(context.Context, string, func(string, T) error) error { return nil }

// emptyNet is a world where no relay has anything, and no DHT node.
type emptyNet struct{}

func (emptyNet) At(context.Context, string) (reconcile.Relay, error) {
	return nil, errors.New("no such relay")
}

func (emptyNet) Find(context.Context, string, string) (*nostr.Event, error) { return nil, nil } //nolint:nilnil // its contract

func (emptyNet) Put(context.Context, bep44.Item, []dht.Node, dht.How) (dht.Found, error) {
	return dht.Found{}, errors.New("nothing is put")
}

func (emptyNet) Get(context.Context, [32]byte, []byte) (bep44.Item, int, bool, error) {
	return bep44.Item{}, 0, false, nil
}

// replies are the words of reply subjects: inboxes, what acts, and what looks like them.
// The server takes none that begins with one of the last two.
var replies = []string{
	"_INBOX", "_INBOX_relay", "x", "API", "STREAM", "DELETE", "KV_records", "$KV", "records", "author", "seen", "$SRV", "_inbox", "$JS", "_R_",
}

// FuzzServices calls both services over a real server, with any payload and any reply
// subject. A call whose reply is an inbox has one answer, JSON or an error with a code;
// any other has none, and nothing is stored by it.
func FuzzServices(f *testing.F) {
	hex := strings.Repeat("ab", 32)
	for i, text := range []string{
		`{}`, ``, `null`, `[]`, `{"pubkey":"` + hex + `"}`, `{"dht_key":"` + hex + `","timeout_ms":-1,"except":"192.0.2.1"}`,
		`{"event_id":"` + hex + `","relays":["wss://a.example.com","ws://127.0.0.1"],"thread":true}`,
		`{"address":"30023:` + hex + `:x","timeout_ms":9223372036854775807}`,
		`{"event_id":"` + hex + `","relays":["` + strings.Repeat("a", 300) + `"]}`,
	} {
		f.Add([]byte(text), []byte{0, 12}, i%2 == 0)
		f.Add([]byte(text), []byte{byte(i), 4, 5, 6, 7}, i%2 == 0)
	}
	js := natstest.Start(f)
	nc := js.Conn()
	found := fetch.Stage{
		Authors: emptyStore[contract.Author]{}, Links: emptyStore[contract.Link]{}, Lost: emptyStore[contract.Lost]{}, Net: emptyNet{},
		Resolve: func(context.Context, events.ResolveRequest) (events.ResolveResponse, error) {
			return events.ResolveResponse{}, nil
		},
		LostFor: time.Hour, ThreadDepth: 4, ThreadCount: 10, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	f.Cleanup(found.Close)
	lists := dht.Stage{Network: emptyNet{}, From: func() string { return "192.0.2.1" }, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	dropped := make(chan string, 1)
	serveFuzzed(f, js, dropped, contract.NameNoteFetch, events.ServiceNoteFetch, found.Answer)
	serveFuzzed(f, js, dropped, contract.NameListResolve, events.ServiceListResolve, lists.Resolve)
	f.Fuzz(func(t *testing.T, data, choice []byte, first bool) {
		subject := events.ServiceNoteFetch
		if first {
			subject = events.ServiceListResolve
		}
		var tokens []string
		for _, c := range choice[:min(len(choice), 200)] { // the server hangs up on a line of 4 KiB
			tokens = append(tokens, replies[int(c)%len(replies)])
		}
		if len(tokens) > 0 && slices.Contains(replies[len(replies)-2:], tokens[0]) {
			tokens[0] = "y"
		}
		reply := strings.Join(append(tokens, "end"), ".")
		answers, err := nc.SubscribeSync(reply)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answers.Unsubscribe() }()
		if err := nc.PublishRequest(subject, reply, data); err != nil {
			t.Fatal(err)
		}
		if !contract.IsInbox(reply) {
			select {
			case got := <-dropped:
				if got != reply {
					t.Errorf("dropped %q, want %q", got, reply)
				}
			case <-time.After(time.Minute):
				t.Fatalf("the call at %q did not come", reply)
			}
			if n, _, err := answers.Pending(); n > 0 || err != nil {
				t.Errorf("%d answers to %q, %v", n, reply, err)
			}
			return
		}
		msg, err := answers.NextMsg(time.Minute)
		if err != nil {
			t.Fatalf("no answer to %q at %q: %v", data, reply, err)
		}
		if code := msg.Header.Get(micro.ErrorCodeHeader); code == "" && !json.Valid(msg.Data) {
			t.Errorf("%q is answered by %q", data, msg.Data)
		}
	})
}

func serveFuzzed[Request, Response any](f *testing.F, js jetstream.JetStream, dropped chan<- string, name, subject string,
	answer func(context.Context, Request) (Response, error),
) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, js, nil, func(reply string) { dropped <- reply }, name, subject, func(Request) int64 { return 1000 }, answer)
	}()
	f.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			f.Error(err)
		}
	})
	for ; ; time.Sleep(time.Millisecond) { // until it is offered
		if _, err := js.Conn().Request(subject, []byte("{}"), time.Minute); !errors.Is(err, nats.ErrNoResponders) {
			return
		}
	}
}
