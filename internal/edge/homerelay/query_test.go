package homerelay

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	gonostr "github.com/nbd-wtf/go-nostr"
)

// loaded returns a store with the recorded events, and those of them that it
// kept: what was replaced, deleted or expired is not there.
func loaded(t *testing.T) (*store, []*gonostr.Event) {
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
	var kept []*gonostr.Event
	for _, e := range recorded() {
		if len(idsOf(t, s, gonostr.Filter{IDs: []string{e.ID}})) == 1 {
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
func randomFilter(r *rand.Rand, all []*gonostr.Event) gonostr.Filter {
	pick := func() *gonostr.Event { return all[r.IntN(len(all))] }
	var f gonostr.Filter
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
				f.Tags = gonostr.TagMap{}
			}
			f.Tags[tag[0]] = append(f.Tags[tag[0]], tag[1])
		}
	}
	if r.IntN(3) == 0 {
		at := pick().CreatedAt
		f.Since = &at
	}
	if r.IntN(3) == 0 {
		at := pick().CreatedAt
		f.Until = &at
	}
	if r.IntN(3) == 0 {
		f.Limit = 1 + r.IntN(30)
	}
	return f
}

func TestQueryEqualsNaive(t *testing.T) {
	s, kept := loaded(t)
	r := rand.New(rand.NewPCG(1, 2))
	nonEmpty := 0
	for range 3000 {
		f := randomFilter(r, kept)
		want := naive(kept, f)
		if got := idsOf(t, s, f); !slices.Equal(got, want) {
			t.Fatalf("filter %s: got %d ids, want %d", f, len(got), len(want))
		}
		if len(want) > 0 {
			nonEmpty++
		}
	}
	if nonEmpty < 1000 {
		t.Errorf("only %d of 3000 filters matched anything: the test proves little", nonEmpty)
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
			f := gonostr.Filter{Tags: gonostr.TagMap{tag[0]: {tag[1]}}}
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
	var all []*gonostr.Event
	for i := range 3*pageItems + 7 {
		tags := gonostr.Tags{{"t", strconv.Itoa(i % 3)}, {"t", "all"}}
		all = append(all, author.event(1, int64(1000+i/400), strconv.Itoa(i), tags...))
	}
	insertAll(t, s, all)
	for _, f := range []gonostr.Filter{
		{},
		{Authors: []string{author.pubkey()}},
		{Kinds: []int{1}},
		{Tags: gonostr.TagMap{"t": {"0", "1", "2", "all"}}},
		{Limit: pageItems + 1},
		{IDs: naive(all, gonostr.Filter{})},
	} {
		if got, want := idsOf(t, s, f), naive(all, f); !slices.Equal(got, want) {
			t.Errorf("filter with %d ids: got %d, want %d in order", len(f.IDs), len(got), len(want))
		}
	}
}

func TestItems(t *testing.T) {
	s, kept := loaded(t)
	r := rand.New(rand.NewPCG(3, 4))
	at := map[string]gonostr.Timestamp{}
	for _, e := range kept {
		at[e.ID] = e.CreatedAt
	}
	for range 500 {
		f := randomFilter(r, kept)
		items, err := s.Items(t.Context(), []gonostr.Filter{f}, len(kept))
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
			t.Fatalf("filter %s: %d items, want %d", f, len(got), len(want))
		}
	}
	if items, err := s.Items(t.Context(), []gonostr.Filter{{}, {}}, 2*len(kept)); err != nil || len(items) != 2*len(kept) {
		t.Errorf("of two filters: %d items and %v, want each event twice", len(items), err)
	}
	if _, err := s.Items(t.Context(), []gonostr.Filter{{}}, len(kept)-1); !errors.Is(err, errTooMany) {
		t.Errorf("above the limit: %v", err)
	}
}

func TestQueryOddFilters(t *testing.T) {
	s, kept := loaded(t)
	negative, distant := gonostr.Timestamp(-5), gonostr.Timestamp(1<<62)
	for name, c := range map[string]struct {
		f    gonostr.Filter
		want int
	}{
		"empty ids":       {gonostr.Filter{IDs: []string{}}, 0},
		"empty authors":   {gonostr.Filter{Authors: []string{}}, 0},
		"empty kinds":     {gonostr.Filter{Kinds: []int{}}, 0},
		"no hex":          {gonostr.Filter{IDs: []string{"zz"}, Authors: []string{"zz"}}, 0},
		"kind too large":  {gonostr.Filter{Kinds: []int{-1, 1 << 20}}, 0},
		"long tag name":   {gonostr.Filter{Tags: gonostr.TagMap{"#e": {kept[0].ID}}}, 0},
		"limit zero":      {gonostr.Filter{LimitZero: true}, 0},
		"negative until":  {gonostr.Filter{Until: &negative}, 0},
		"negative since":  {gonostr.Filter{Since: &negative}, len(kept)},
		"distant until":   {gonostr.Filter{Until: &distant}, len(kept)},
		"distant since":   {gonostr.Filter{Since: &distant}, 0},
		"repeated author": {gonostr.Filter{Authors: []string{kept[0].PubKey, kept[0].PubKey}, Limit: 1}, 1},
	} {
		if got := len(idsOf(t, s, c.f)); got != c.want {
			t.Errorf("%s: %d events, want %d", name, got, c.want)
		}
	}
}

func TestQueryStops(t *testing.T) {
	s, _ := loaded(t)
	n := 0
	err := s.Query(t.Context(), gonostr.Filter{}, func(*gonostr.Event) bool {
		n++
		return n < 3
	})
	if err != nil || n != 3 {
		t.Errorf("got %d events and %v, want 3 and no error", n, err)
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
