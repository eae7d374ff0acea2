package relaytest_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/reconcile/relaytest"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// memory is a transport of a few lines, as a third one would begin.
type memory struct {
	mu      sync.Mutex
	list    []nostr.Event
	changed chan struct{}
	refuse  func() (words *string, refuses bool)
}

func (m *memory) match(filters []nostr.Filter) (out []nostr.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range filters {
		var some []nostr.Event
		for _, e := range m.list {
			if f.Match(&e) {
				some = append(some, e)
			}
		}
		slices.SortFunc(some, func(a, b nostr.Event) int { return cmp.Compare(b.CreatedAt, a.CreatedAt) })
		if f.Limit > 0 {
			some = some[:min(len(some), f.Limit)]
		}
		out = append(out, some...)
	}
	return out
}

func (m *memory) Open(ctx context.Context, f nostr.Filter, first []byte) (reconcile.Session, []byte, error) {
	var items []negentropy.Item
	for _, e := range m.match([]nostr.Filter{f}) {
		id, err := negentropy.ParseID(e.ID)
		if err != nil {
			return nil, nil, err
		}
		items = append(items, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
	}
	s := session{negentropy.NewReconciler(negentropy.NewVector(items), negentropy.Options{})}
	answer, err := s.Exchange(ctx, first)
	return s, answer, err
}

type session struct{ *negentropy.Reconciler }

func (s session) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	answer, err := s.Respond(msg)
	return slices.Clone(answer), err
}

func (session) Close() {}

func (m *memory) Query(ctx context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		for _, e := range m.match(filters) {
			if ctx.Err() != nil {
				yield(nostr.Event{}, ctx.Err())
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (m *memory) Publish(ctx context.Context, e nostr.Event) (reconcile.Reply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		if words, refuses := m.refuse(); refuses && words == nil {
			return reconcile.ParseReply(false, ""), nil
		} else if refuses {
			return reconcile.ParseReply(false, *words), nil
		}
	}
	if slices.ContainsFunc(m.list, func(have nostr.Event) bool { return have.ID == e.ID }) {
		return reconcile.Reply{Outcome: reconcile.Duplicate}, ctx.Err()
	}
	if ctx.Err() == nil {
		m.list = append(m.list, e)
		close(m.changed)
		m.changed = make(chan struct{})
	}
	return reconcile.Reply{Outcome: reconcile.Stored}, ctx.Err()
}

func (m *memory) Subscribe(ctx context.Context, filters ...nostr.Filter) iter.Seq2[reconcile.Update, error] {
	return func(yield func(reconcile.Update, error) bool) {
		for sent, first := 0, true; ; first = false {
			m.mu.Lock()
			changed, fresh := m.changed, m.list[sent:]
			sent = len(m.list)
			m.mu.Unlock()
			for _, e := range fresh {
				if slices.ContainsFunc(filters, func(f nostr.Filter) bool { return f.Match(&e) }) && !yield(reconcile.Update{Event: e}, nil) {
					return
				}
			}
			if first && !yield(reconcile.Update{EOSE: true}, nil) {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				yield(reconcile.Update{}, ctx.Err())
				return
			}
		}
	}
}

func (*memory) Limits(context.Context) reconcile.Limits { return reconcile.Limits{} }

// events are not signed: nothing here looks.
func events() (list []nostr.Event) {
	for i := range relaytest.Events {
		id := sha256.Sum256([]byte(strconv.Itoa(i)))
		list = append(list, nostr.Event{ID: hex.EncodeToString(id[:]), Kind: 1, CreatedAt: 1_700_000_000 + int64(i/3)})
	}
	return list
}

func start(_ *testing.T, holds []nostr.Event) reconcile.Relay {
	return &memory{list: slices.Clone(holds), changed: make(chan struct{})}
}

// A third transport passes the suite, as it is and behind decorators.
func TestAThirdTransport(t *testing.T) {
	tr := relaytest.Transport{
		New: start, Events: events(), Sessions: true, Lists: true, Live: true,
		Refusing: func(_ *testing.T, words *string) reconcile.Relay {
			return &memory{refuse: func() (*string, bool) { return words, true }}
		},
	}
	t.Run("alone", func(t *testing.T) { relaytest.Run(t, tr) })
	decorated := tr
	decorated.New = func(t *testing.T, holds []nostr.Event) reconcile.Relay {
		below := start(t, holds)
		return reconcile.Classified(reconcile.Through(func(ctx context.Context, _ *reconcile.Request, ask reconcile.Ask) error {
			return ask(ctx, below)
		}))
	}
	t.Run("decorated", func(t *testing.T) { relaytest.Run(t, decorated) })
}
