package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/jsonl"
	"github.com/relaymesh/relaymesh/internal/edge/p2p"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/reconcile/relaytest"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// reach returns a relay by its name, as the stages reach it.
func reach(t *testing.T, name string) reconcile.Relay {
	t.Helper()
	env, err := run.NewEnv(config.Config{AllowPrivate: true}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(env.Close)
	run.WithLibp2p(Start)(env)
	net, node, err := env.Relays(store{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	r, err := net.At(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every way to a relay keeps the contract.
func TestTransports(t *testing.T) {
	for name, tr := range map[string]relaytest.Transport{
		"websocket, NIP-77": {Sessions: true, Lists: true, New: func(t *testing.T, holds []nostr.Event) reconcile.Relay {
			r, err := khatrutest.Start(t.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Close() })
			hometest.Publish(t, r.URL(), holds...)
			return reach(t, r.URL())
		}},
		"websocket, by pages": {
			Lists: true,
			New: func(t *testing.T, holds []nostr.Event) reconcile.Relay {
				return reach(t, startPlain(t, holds, false))
			},
			Refusing: func(t *testing.T, words *string) reconcile.Relay {
				return reach(t, serve(t, &plain{ok: func(id string) []any {
					if words == nil {
						return []any{"OK", id, false}
					}
					return []any{"OK", id, false, *words}
				}}))
			},
		},
		"embedded relay": {Sessions: true, Lists: true, Live: true, New: func(t *testing.T, holds []nostr.Event) reconcile.Relay {
			return reach(t, hometest.Start(t, holds...))
		}},
		"libp2p": {Sessions: true, New: func(t *testing.T, holds []nostr.Event) reconcile.Relay {
			return reach(t, startHornets(t, holds).Addr("udp"))
		}},
		"JSON lines": {Sessions: true, Lists: true, New: func(t *testing.T, holds []nostr.Event) reconcile.Relay {
			var text bytes.Buffer
			for _, e := range holds {
				text.Write(append(nostr.Encode(e), '\n'))
			}
			r, err := jsonl.New(io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Close() })
			if err := r.Load(t.Context(), &text, func(_ int, why error) { t.Error(why) }); err != nil {
				t.Fatal(err)
			}
			return reconcile.Classified(r)
		}},
	} {
		tr.Events = signed()[:relaytest.Events]
		t.Run(name, func(t *testing.T) { relaytest.Run(t, tr) })
	}
}

// What goes wrong with a relay is one error, by whatever transport.
func TestErrorsMeanTheSameByEveryTransport(t *testing.T) {
	all := signed()
	wanted := nostr.Filter{IDs: []string{all[0].ID}}
	open := func(ctx context.Context, r reconcile.Relay) error {
		_, _, err := r.Open(ctx, nostr.Filter{}, []byte{0x61})
		return err
	}
	query := func(ctx context.Context, r reconcile.Relay) (err error) {
		for _, failed := range r.Query(ctx, wanted) {
			err = failed
		}
		return err
	}
	publish := func(ctx context.Context, r reconcile.Relay) error {
		_, err := r.Publish(ctx, all[0])
		return err
	}
	// refuses is a relay that refuses sessions, and whatever needs one, in words.
	refuses := func(words string) map[string]string {
		return map[string]string{
			"websocket": serve(t, &plain{says: func(label, id string) ([]string, bool) {
				return []string{
					fmt.Sprintf(map[string]string{"NEG-OPEN": `["NEG-ERR",%q,%q]`, "REQ": `["CLOSED",%q,%q]`}[label], id, words),
				}, label == "NEG-OPEN" || label == "REQ"
			}}),
			"libp2p": serveEvil(t, evil{told: words}),
		}
	}
	hornets, gone := startHornets(t, all), startHornets(t, nil)
	hornets.Wrap = func(s network.Stream) io.ReadWriter { s.Conn().Close(); return s }
	nobody := gone.Addr("udp")
	gone.Close()
	for name, c := range map[string]struct {
		at   map[string]string
		does func(context.Context, reconcile.Relay) error
		want []error
		not  []error
	}{
		"a large set": {
			at: refuses("blocked: too many query results"), does: open, want: []error{reconcile.ErrTooLarge},
			not: []error{reconcile.ErrNoNegentropy},
		},
		"sessions by policy":     {at: refuses("blocked: for friends"), does: open, want: []error{reconcile.ErrNoNegentropy}},
		"sessions without words": {at: refuses(""), does: open, want: []error{reconcile.ErrNoNegentropy}},
		"sessions, to strangers": {
			at: refuses("auth-required: who are you?"), does: open,
			want: []error{reconcile.ErrNoNegentropy, reconcile.ErrRefused},
		},
		"a dropped session": {
			at: refuses("closed: unknown subscription handle"), does: open, want: []error{reconcile.ErrInterrupted},
			not: []error{reconcile.ErrNoNegentropy},
		},
		"events, to strangers": {
			at: refuses("restricted: members only"), does: query, want: []error{reconcile.ErrRefused},
			not: []error{reconcile.ErrInterrupted, reconcile.ErrNoNegentropy},
		},
		"who hangs up on Open": {
			at: map[string]string{"websocket": serve(t, &plain{hangs: true}), "libp2p": hornets.Addr("udp")}, does: open,
			want: []error{reconcile.ErrInterrupted},
		},
		"who hangs up on Query": {
			at: map[string]string{"websocket": serve(t, &plain{hangs: true}), "libp2p": hornets.Addr("udp")}, does: query,
			want: []error{reconcile.ErrInterrupted},
		},
		"who hangs up on Publish": {
			at: map[string]string{"websocket": serve(t, &plain{hangs: true}), "libp2p": hornets.Addr("udp")}, does: publish,
			want: []error{reconcile.ErrInterrupted},
		},
		"who is not there": {
			at: map[string]string{"websocket": "ws://127.0.0.1:1", "libp2p": nobody}, does: publish,
			want: []error{reconcile.ErrInterrupted},
		},
		"events unasked for": {
			at: map[string]string{
				"websocket": serve(t, &plain{says: func(label, id string) (answers []string, _ bool) {
					for _, e := range all[1:] {
						answers = append(answers, fmt.Sprintf(`["EVENT",%q,%s]`, id, nostr.Encode(e)))
					}
					return append(answers, fmt.Sprintf(`["EOSE",%q]`, id)), label == "REQ"
				}}),
				"libp2p": serveEvil(t, evil{give: all[1:]}),
			},
			does: query, want: []error{reconcile.ErrMisbehaving}, not: []error{reconcile.ErrInterrupted},
		},
	} {
		for transport, at := range c.at {
			t.Run(name+", "+transport, func(t *testing.T) {
				t.Parallel()
				err := c.does(t.Context(), reach(t, at))
				for _, want := range c.want {
					if !errors.Is(err, want) {
						t.Errorf("%v is no %q", err, want)
					}
				}
				for _, not := range c.not {
					if errors.Is(err, not) {
						t.Errorf("%v is %q", err, not)
					}
				}
			})
		}
	}
}

// serveEvil starts a libp2p peer that answers as it likes.
func serveEvil(t *testing.T, e evil) string {
	t.Helper()
	host, err := p2p.Start(p2p.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	if err := host.Serve("127.0.0.1:0", func(context.Context, string) (p2p.Responder, error) { return e, nil }); err != nil {
		t.Fatal(err)
	}
	return host.Addrs()[0]
}

// A relay that breaks the protocol is told apart in the words of a sync, too.
func TestAPeerThatListsNothingSaysWhyItIsNotCompared(t *testing.T) {
	r, home := reach(t, serveEvil(t, evil{told: "blocked: for friends"})), reach(t, hometest.Start(t))
	_, err := reconcile.Sync(t.Context(), reconcile.Side{Relay: home, Name: "home"}, reconcile.Side{Relay: r, Name: "peer"}, nostr.Filter{},
		reconcile.Options{})
	if err == nil || !strings.Contains(err.Error(), "for friends") || strings.Count(err.Error(), "peer:") != 1 {
		t.Error(err)
	}
}
