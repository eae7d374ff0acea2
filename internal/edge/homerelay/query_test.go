package homerelay

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// loaded returns a store with the recorded events, and those of them that it
// kept: what was replaced, deleted or expired is not there.
func loaded(t *testing.T) (*store, []*nostr.Event) {
	t.Helper()
	s := newStore(t)
	var wg sync.WaitGroup
	for part := range 16 {
		wg.Go(func() {
			for i := part; i < len(recorded()); i += 16 {
				err := s.Insert(recorded()[i])
				if err != nil && !errors.Is(err, errReplaced) && !errors.Is(err, errDeleted) && !errors.Is(err, errExpired) {
					t.Errorf("insert: %v", err)
				}
			}
		})
	}
	wg.Wait()
	var kept []*nostr.Event
	for _, e := range recorded() {
		if len(idsOf(t, s, nostr.Filter{IDs: []string{e.ID}})) == 1 {
			kept = append(kept, e)
		}
	}
	if len(kept) < 450 {
		t.Fatalf("only %d of %d events were kept", len(kept), len(recorded()))
	}
	return s, kept
}

// randomFilter asks for properties of events that exist, so that it mostly
// matches something.
func randomFilter(r *rand.Rand, all []*nostr.Event) nostr.Filter {
	pick := func() *nostr.Event { return all[r.IntN(len(all))] }
	var f nostr.Filter
	if r.IntN(6) == 0 {
		for range r.IntN(20) {
			f.IDs = append(f.IDs, pick().ID)
		}
	}
	if r.IntN(2) == 0 {
		for range r.IntN(40) {
			f.Authors = append(f.Authors, pick().PubKey)
		}
	}
	if r.IntN(2) == 0 {
		for range r.IntN(5) {
			f.Kinds = append(f.Kinds, pick().Kind)
		}
	}
	for range r.IntN(3) {
		e := pick()
		if len(e.Tags) == 0 {
			continue
		}
		tag := e.Tags[r.IntN(len(e.Tags))]
		if len(tag) >= 2 && len(tag[0]) == 1 {
			if f.Tags == nil {
				f.Tags = map[string][]string{}
			}
			f.Tags[tag[0]] = append(f.Tags[tag[0]], tag[1])
		}
	}
	if r.IntN(3) == 0 {
		f.Since = pick().CreatedAt
	}
	if r.IntN(3) == 0 {
		f.Until = pick().CreatedAt
	}
	if r.IntN(3) == 0 {
		f.Limit = 1 + r.IntN(30)
	}
	return f
}

func TestQueryEqualsNaive(t *testing.T) {
	s, kept := loaded(t)
	r := rand.New(rand.NewPCG(1, 2))
	nonEmpty, filters := 0, 3000
	if testing.Short() { // races show in fewer
		filters = 300
	}
	for range filters {
		f := randomFilter(r, kept)
		want := naive(kept, f)
		if got := idsOf(t, s, f); !slices.Equal(got, want) {
			t.Fatalf("filter %+v: got %d ids, want %d", f, len(got), len(want))
		}
		if len(want) > 0 {
			nonEmpty++
		}
	}
	if nonEmpty < filters/3 {
		t.Errorf("only %d of %d filters matched anything: the test proves little", nonEmpty, filters)
	}
}

func TestQueryByEachTag(t *testing.T) {
	s, kept := loaded(t)
	checked := 0
	for _, e := range kept {
		for _, tag := range e.Tags[:min(3, len(e.Tags))] {
			if len(tag) < 2 || len(tag[0]) != 1 {
				continue
			}
			f := nostr.Filter{Tags: map[string][]string{tag[0]: {tag[1]}}}
			if got, want := idsOf(t, s, f), naive(kept, f); !slices.Equal(got, want) {
				t.Fatalf("#%s %q: got %v, want %v", tag[0], tag[1], got, want)
			}
			checked++
		}
	}
	if checked < 500 {
		t.Errorf("only %d tags checked", checked)
	}
}

// More than a page, many with the same second, so that pages end inside one.
func TestQueryPages(t *testing.T) {
	s := newStore(t)
	author := newSigner(t)
	var all []*nostr.Event
	for i := range 3*pageItems + 7 {
		tags := []nostr.Tag{{"t", strconv.Itoa(i % 3)}, {"t", "all"}}
		all = append(all, author.event(1, int64(1000+i/400), strconv.Itoa(i), tags...))
	}
	insertAll(t, s, all)
	for _, f := range []nostr.Filter{
		{},
		{Authors: []string{author.pubkey()}},
		{Kinds: []int{1}},
		{Tags: map[string][]string{"t": {"0", "1", "2", "all"}}},
		{Limit: pageItems + 1},
		{IDs: naive(all, nostr.Filter{})},
	} {
		if got, want := idsOf(t, s, f), naive(all, f); !slices.Equal(got, want) {
			t.Errorf("filter with %d ids: got %d, want %d in order", len(f.IDs), len(got), len(want))
		}
	}
}

func TestItems(t *testing.T) {
	s, kept := loaded(t)
	r := rand.New(rand.NewPCG(3, 4))
	at := map[string]int64{}
	for _, e := range kept {
		at[e.ID] = e.CreatedAt
	}
	for range 500 {
		f := randomFilter(r, kept)
		items, err := s.Items(t.Context(), everything, []nostr.Filter{f}, len(kept), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, it := range items {
			got = append(got, it.ID.String())
			if it.Timestamp != uint64(at[it.ID.String()]) {
				t.Errorf("%s has time %d, want %d", it.ID, it.Timestamp, at[it.ID.String()])
			}
		}
		if want := naive(kept, f); !slices.Equal(got, want) {
			t.Fatalf("filter %+v: %d items, want %d", f, len(got), len(want))
		}
	}
	if items, err := s.Items(t.Context(), everything, []nostr.Filter{{}, {}}, 2*len(kept), 0, nil); err != nil || len(items) != 2*len(kept) {
		t.Errorf("of two filters: %d items and %v, want each event twice", len(items), err)
	}
	if _, err := s.Items(t.Context(), everything, []nostr.Filter{{}}, len(kept)-1, 0, nil); !errors.Is(err, errTooMany) {
		t.Errorf("above the limit: %v", err)
	}
}

func TestQueryOddFilters(t *testing.T) {
	s, kept := loaded(t)
	const distant = 1 << 62
	for name, c := range map[string]struct {
		f    nostr.Filter
		want int
	}{
		"empty ids":       {nostr.Filter{IDs: []string{}}, 0},
		"empty authors":   {nostr.Filter{Authors: []string{}}, 0},
		"empty kinds":     {nostr.Filter{Kinds: []int{}}, 0},
		"no hex":          {nostr.Filter{IDs: []string{"zz"}, Authors: []string{"zz"}}, 0},
		"kind too large":  {nostr.Filter{Kinds: []int{-1, 1 << 20}}, 0},
		"long tag name":   {nostr.Filter{Tags: map[string][]string{"#e": {kept[0].ID}}}, 0},
		"limit zero":      {nostr.Filter{Limit: nostr.LimitZero}, 0},
		"negative until":  {nostr.Filter{Until: -5}, 0},
		"negative since":  {nostr.Filter{Since: -5}, len(kept)},
		"distant until":   {nostr.Filter{Until: distant}, len(kept)},
		"distant since":   {nostr.Filter{Since: distant}, 0},
		"upper case":      {nostr.Filter{Authors: []string{strings.ToUpper(kept[0].PubKey)}}, 0},
		"repeated author": {nostr.Filter{Authors: []string{kept[0].PubKey, kept[0].PubKey}, Limit: 1}, 1},
	} {
		if got := len(idsOf(t, s, c.f)); got != c.want {
			t.Errorf("%s: %d events, want %d", name, got, c.want)
		}
	}
}

func TestQueryStops(t *testing.T) {
	s, _ := loaded(t)
	n := 0
	err := s.Query(t.Context(), everything, nostr.Filter{}, func([]byte) bool {
		n++
		return n < 3
	})
	if err != nil || n != 3 {
		t.Errorf("got %d events and %v, want 3 and no error", n, err)
	}
}

// Files of earlier versions have events with the kind first and characters as
// escapes, by which they are not served.
func TestEarlierStoresAreServedAnew(t *testing.T) {
	s := newStore(t)
	e := newSigner(t).event(1, 1000, "<\u2028>", nostr.Tag{"t", "&"})
	mustInsert(t, s, e)
	earlier := fmt.Sprintf(`{"kind":1,"id":%q,"pubkey":%q,"created_at":1000,"tags":[["t","\u0026"]],"content":"\u003c\u2028\u003e","sig":%q}`,
		e.ID, e.PubKey, e.Sig)
	err := s.db.Update(func(tx *bbolt.Tx) error {
		id, _ := hex.DecodeString(e.ID)
		return tx.Bucket(byID).Put(id, []byte(earlier))
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []nostr.Filter{{}, {IDs: []string{e.ID}}, {Tags: map[string][]string{"t": {"&"}}}} {
		err := s.Query(t.Context(), everything, f, func(event []byte) bool {
			if want := nostr.Encode(e); !bytes.Equal(event, want) {
				t.Errorf("%+v: %s, want %s", f, event, want)
			}
			return true
		})
		if err != nil || len(idsOf(t, s, f)) != 1 {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestDuplicatesAreFound(t *testing.T) {
	s, kept := loaded(t)
	for _, e := range kept[:50] {
		if err := s.Insert(e); !errors.Is(err, errDuplicate) {
			t.Fatalf("second insert of %s: %v", e.ID, err)
		}
	}
}

// The items of a filter are sorted once they are turned round.
func TestOldestFirst(t *testing.T) {
	s := newStore(t)
	s.db.NoSync = true
	author := newSigner(t)
	for i := range 60 {
		mustInsert(t, s, author.event(1, int64(1000+i%7), strconv.Itoa(i)))
	}
	items, err := s.Items(t.Context(), everything, []nostr.Filter{{}}, maxRecords, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if oldestFirst(items); len(items) != 60 || !slices.IsSortedFunc(items, negentropy.Item.Compare) {
		t.Errorf("%d items are not sorted", len(items))
	}
}
