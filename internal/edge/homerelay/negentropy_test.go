package homerelay

import (
	"encoding/hex"
	"slices"
	"sync"
	"testing"

	gonostr "github.com/nbd-wtf/go-nostr"
	"github.com/nbd-wtf/go-nostr/nip77/negentropy"                //nolint:depguard // an independent peer
	"github.com/nbd-wtf/go-nostr/nip77/negentropy/storage/vector" //nolint:depguard // likewise

	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// reconcile runs go-nostr's negentropy as a client against the relay and
// returns what only one of the two has.
func reconcile(t *testing.T, c *relay.Conn, f nostr.Filter, local []*nostr.Event) (haves, needs []string) {
	t.Helper()
	vec := vector.New()
	for _, e := range local {
		vec.Insert(gonostr.Timestamp(e.CreatedAt), e.ID)
	}
	vec.Seal()
	neg := negentropy.New(vec, 60_000)
	var collecting sync.WaitGroup
	collecting.Go(func() {
		for id := range neg.Haves {
			haves = append(haves, id)
		}
	})
	collecting.Go(func() {
		for id := range neg.HaveNots {
			needs = append(needs, id)
		}
	})
	first, err := hex.DecodeString(neg.Start())
	if err != nil {
		t.Fatal(err)
	}
	s, answer, err := c.Open(t.Context(), f, first)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		next, err := neg.Reconcile(hex.EncodeToString(answer))
		if err != nil {
			t.Fatal(err)
		}
		if next == "" {
			break
		}
		msg, err := hex.DecodeString(next)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err = s.Exchange(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	collecting.Wait()
	return haves, needs
}

// An independent negentropy client finds exactly the differences, and after
// the transfers there are none.
func TestNegentropySync(t *testing.T) {
	c := dial(t, startRelay(t, ""))
	byID := map[string]*nostr.Event{}
	var regular []*nostr.Event
	for _, e := range recorded() {
		if regularKind(e) {
			regular = append(regular, e)
			byID[e.ID] = e
		}
	}
	third := len(regular) / 3
	var wg sync.WaitGroup
	for _, e := range regular[third:] {
		wg.Go(func() { mustPublish(t, c, e) })
	}
	wg.Wait()
	local := slices.Clone(regular[:2*third])
	haves, needs := reconcile(t, c, nostr.Filter{}, local)
	if got, want := sorted(haves), sorted(naive(regular[:third], nostr.Filter{})); !slices.Equal(got, want) {
		t.Errorf("%d events to upload, want %d", len(got), len(want))
	}
	if got, want := sorted(needs), sorted(naive(regular[2*third:], nostr.Filter{})); !slices.Equal(got, want) {
		t.Errorf("%d events to download, want %d", len(got), len(want))
	}
	for _, id := range haves {
		mustPublish(t, c, byID[id])
	}
	for e, err := range c.Query(t.Context(), nostr.Filter{IDs: needs}) {
		if err != nil {
			t.Fatal(err)
		}
		local = append(local, byID[e.ID])
	}
	if haves, needs := reconcile(t, c, nostr.Filter{}, local); len(haves)+len(needs) != 0 {
		t.Errorf("%d and %d differences remain", len(haves), len(needs))
	}
	// A filter by authors and kinds is answered from the index alone.
	f := nostr.Filter{Authors: []string{regular[0].PubKey, regular[5].PubKey}, Kinds: []int{1, 7}}
	haves, needs = reconcile(t, c, nostr.Filter{Authors: f.Authors, Kinds: f.Kinds}, nil)
	if got, want := sorted(needs), sorted(naive(regular, f)); !slices.Equal(got, want) || len(haves) != 0 {
		t.Errorf("by author: %d events, want %d", len(got), len(want))
	}
}
