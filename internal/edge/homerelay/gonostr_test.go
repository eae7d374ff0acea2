//go:build !race

package homerelay

// The race detector finds races inside go-nostr's own client (relay.go, close
// against connect), so what uses it runs without.

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gonostr "github.com/nbd-wtf/go-nostr"
	"github.com/nbd-wtf/go-nostr/nip77" //nolint:depguard // an independent peer

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func connect(t *testing.T, r *Relay) *gonostr.Relay {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	client, err := gonostr.RelayConnect(ctx, r.URL())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// publishAll sends the events over the wire and returns those that the relay
// took.
func publishAll(t *testing.T, client *gonostr.Relay, all []*nostr.Event) []*nostr.Event {
	t.Helper()
	took := make([]*nostr.Event, len(all))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i, e := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := client.Publish(ctx, *theirs(e)); err == nil {
				took[i] = e
			} else if ctx.Err() != nil {
				t.Errorf("publish: %v", err)
			}
		})
	}
	wg.Wait()
	return slices.DeleteFunc(took, func(e *nostr.Event) bool { return e == nil })
}

func queryByGoNostr(t *testing.T, client *gonostr.Relay, f nostr.Filter) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ids := []string{}
	all, err := client.QuerySync(ctx, theirFilter(f))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

// The whole way of a client: publish over the wire, query by every kind of
// filter, compare with looking at every event, restart, compare again.
func TestServesRealEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	r := startRelay(t, path)
	client := connect(t, r)
	publishAll(t, client, recorded())
	var kept []*nostr.Event
	byID := map[string]*nostr.Event{}
	for _, e := range recorded() {
		byID[e.ID] = e
	}
	for _, id := range queryByGoNostr(t, client, nostr.Filter{}) {
		kept = append(kept, byID[id])
	}
	if len(kept) < 450 {
		t.Fatalf("only %d events were kept", len(kept))
	}
	at := kept[len(kept)/2].CreatedAt
	filters := []nostr.Filter{
		{},
		{Kinds: []int{1}},
		{Kinds: []int{0, 3, 10002}},
		{Authors: []string{kept[1].PubKey, kept[50].PubKey}},
		{Authors: []string{kept[1].PubKey}, Kinds: []int{kept[1].Kind}},
		{IDs: []string{kept[0].ID, kept[10].ID, strings.Repeat("0", 64)}},
		{Since: at},
		{Until: at},
		{Since: at, Until: at, Kinds: []int{1, 7}},
	}
	for _, e := range kept[:20] {
		if v := e.Tag("p"); len(v) > 1 {
			filters = append(filters, nostr.Filter{Tags: map[string][]string{"p": {v[1]}}})
		}
	}
	for _, f := range filters {
		if got, want := queryByGoNostr(t, client, f), sorted(naive(kept, f)); !slices.Equal(got, want) {
			t.Errorf("%+v: got %d events, want %d", f, len(got), len(want))
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	again := connect(t, startRelay(t, path))
	for _, f := range filters {
		if got, want := queryByGoNostr(t, again, f), sorted(naive(kept, f)); !slices.Equal(got, want) {
			t.Errorf("after a restart %+v: got %d events, want %d", f, len(got), len(want))
		}
	}
}

// go-nostr's whole NIP-77 client, its own negentropy and transfers included,
// makes the relay and a local store equal.
func TestGoNostrSync(t *testing.T) {
	r := startRelay(t, "")
	var regular []*nostr.Event
	for _, e := range recorded() {
		if regularKind(e) {
			regular = append(regular, e)
		}
	}
	third := len(regular) / 3
	insertAll(t, r.store, regular[third:])
	local := &memory{}
	for _, e := range regular[:2*third] {
		local.events = append(local.events, theirs(e))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := nip77.NegentropySync(ctx, local, r.URL(), gonostr.Filter{}, nip77.Both); err != nil {
		t.Fatal(err)
	}
	want := sorted(naive(regular, nostr.Filter{}))
	if got := sorted(idsOf(t, r.store, nostr.Filter{})); !slices.Equal(got, want) {
		t.Errorf("the relay has %d events, want %d", len(got), len(want))
	}
	got := []string{}
	for _, e := range local.events {
		got = append(got, e.ID)
	}
	if !slices.Equal(sorted(got), want) {
		t.Errorf("the client has %d events, want %d", len(got), len(want))
	}
}

// memory is go-nostr's idea of a store.
type memory struct {
	mu     sync.Mutex
	events []*gonostr.Event
}

func (m *memory) Publish(_ context.Context, e gonostr.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, &e)
	return nil
}

func (m *memory) QuerySync(_ context.Context, f gonostr.Filter) (found []*gonostr.Event, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if f.Matches(e) {
			found = append(found, e)
		}
	}
	return found, nil
}

func (m *memory) QueryEvents(ctx context.Context, f gonostr.Filter) (chan *gonostr.Event, error) {
	found, err := m.QuerySync(ctx, f)
	out := make(chan *gonostr.Event, len(found))
	for _, e := range found {
		out <- e
	}
	close(out)
	return out, err
}
