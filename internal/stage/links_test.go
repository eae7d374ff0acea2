package stage_test

import (
	"context"
	"maps"
	"path"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// memory is a store that may show by key what was there before.
type memory[T any] struct {
	now, before map[string]T
}

func (m memory[T]) Get(_ context.Context, key string) (T, bool, error) {
	if v, found := m.before[key]; found {
		return v, true, nil
	}
	v, found := m.now[key]
	return v, found, nil
}

func (m memory[T]) Update(ctx context.Context, key string, change func(T, bool) (T, bool)) (T, error) {
	old, found, _ := m.Get(ctx, key)
	if _, write := change(old, found); !write {
		return old, nil
	}
	old, found = m.now[key]
	next, write := change(old, found)
	if write {
		m.now[key] = next
		return next, nil
	}
	return old, nil
}

func (m memory[T]) Remove(_ context.Context, key string, decide func(T) bool) (bool, error) {
	old, found := m.now[key]
	if found = found && decide(old); found {
		delete(m.now, key)
	}
	return found, nil
}

func (m memory[T]) Each(_ context.Context, pattern string, f func(string, T) error) error {
	for key, v := range maps.Clone(m.now) {
		if ok, _ := path.Match(pattern, key); !ok {
			continue
		}
		if err := f(key, v); err != nil {
			return err
		}
	}
	return nil
}

// Of an author's two lists the older one is what a copy of KV shows that lags.
func TestFollowingAListGoesBackForNoCopyThatLags(t *testing.T) {
	const a, b = "wss://a.example.com", "wss://b.example.com"
	with := func(l contract.List) map[string]contract.Author {
		return map[string]contract.Author{"alice": {Lists: map[string]contract.List{contract.ViaNIP65: l}}}
	}
	older := contract.List{Version: 1, ID: "1", Write: []string{a}}
	newer := contract.List{Version: 2, ID: "2", Write: []string{b}}
	for _, c := range []struct {
		name          string
		stored, shown map[string]contract.Author
		follow        map[string]contract.Author
		before        string
	}{
		{"the list before is shown", with(newer), with(older), with(newer), a},
		{"no author is shown", nil, nil, with(newer), a},
		{"a newer one came meanwhile", with(newer), nil, with(older), a},
	} {
		t.Run(c.name, func(t *testing.T) {
			links := memory[contract.Link]{now: map[string]contract.Link{
				contract.LinkKey(nostr.RelayKey(c.before), "alice"): {URL: c.before, Via: map[string]int64{contract.ViaNIP65: 1}},
			}}
			got, err := stage.FollowList(t.Context(), memory[contract.Author]{c.stored, c.shown}, links, "alice", contract.ViaNIP65,
				c.follow["alice"])
			if err != nil || got.ID != newer.ID {
				t.Errorf("followed %+v, %v, want %+v", got, err, newer)
			}
			want := []string{contract.LinkKey(nostr.RelayKey(b), "alice")}
			if keys := slices.Collect(maps.Keys(links.now)); !slices.Equal(keys, want) {
				t.Errorf("links are %v, want %v", keys, want)
			}
		})
	}
}

// The link is of a version that cut the slash off the URL, or of a list of another
// source that spells the relay so.
func TestALinkIsOfARelayHoweverItsURLEnds(t *testing.T) {
	const a, b = "wss://a.example.com/nostr", "wss://a.example.com/nostr/"
	key := contract.LinkKey(nostr.RelayKey(a), "alice")
	for _, was := range []map[string]int64{{contract.ViaNIP65: 1}, {contract.ViaNIP65: 2}, {contract.ViaDHT: 7}} {
		links := memory[contract.Link]{now: map[string]contract.Link{key: {URL: a, Via: was}}}
		author := contract.Author{Lists: map[string]contract.List{contract.ViaNIP65: {Version: 2, ID: "2", Write: []string{b}}}}
		if _, err := stage.FollowList(t.Context(), memory[contract.Author]{}, links, "alice", contract.ViaNIP65, author); err != nil {
			t.Fatal(err)
		}
		if l := links.now[key]; len(links.now) != 1 || l.Via[contract.ViaNIP65] != 2 || l.Via[contract.ViaDHT] != was[contract.ViaDHT] {
			t.Errorf("after %v links are %+v", was, links.now)
		}
	}
}

// What a list names and a copy does not show yet is not left as it is.
func TestALinkIsNotLeftForACopyThatLags(t *testing.T) {
	const a = "wss://a.example.com"
	key := contract.LinkKey(nostr.RelayKey(a), "alice")
	links := memory[contract.Link]{
		now:    map[string]contract.Link{key: {URL: a, Via: map[string]int64{contract.ViaNIP65: 1}}},
		before: map[string]contract.Link{key: {URL: a, Via: map[string]int64{}}},
	}
	authors := memory[contract.Author]{}
	newer := contract.Author{Lists: map[string]contract.List{contract.ViaNIP65: {Version: 2, ID: "2"}}}
	if _, err := stage.FollowList(t.Context(), authors, links, "alice", contract.ViaNIP65, newer); err == nil {
		t.Error("followed, although KV does not show the evidence that is to be taken")
	}
	links.before = nil
	if _, err := stage.FollowList(t.Context(), authors, links, "alice", contract.ViaNIP65, newer); err != nil || len(links.now) > 0 {
		t.Errorf("again: %v, links %v", err, links.now)
	}
}

// The lists of two DHT keys name two relays; the one before has the highest seq
// that there can be, or is of a version that kept no keys.
func TestLinksOfTheKeyBeforeGoWhateverItsSeq(t *testing.T) {
	const a, b, c = "wss://a.example.com", "wss://b.example.com", "wss://c.example.com"
	key := func(url string) string { return contract.LinkKey(nostr.RelayKey(url), "alice") }
	for _, before := range []string{"key before", ""} {
		links := memory[contract.Link]{now: map[string]contract.Link{
			key(a): {URL: a, Via: map[string]int64{contract.ViaDHT: 1 << 53}, Key: before},
			key(b): {URL: b, Via: map[string]int64{contract.ViaDHT: 1 << 53, contract.ViaNIP65: 7}, Key: before},
			key(c): {URL: c, Via: map[string]int64{contract.ViaDHT: 1 << 53, contract.ViaClaim: 1, contract.ViaHint: 0}, Key: before},
		}}
		author := contract.Author{DHTKey: "key", DHTKeyBy: "alice", DHTKeyAt: 1}
		with := author
		with.Lists = map[string]contract.List{contract.ViaDHT: {Version: 1, Key: "key", ID: "1", Write: []string{c}}}
		for _, now := range []contract.Author{with, author} {
			// The copy of KV that answers shows the key before.
			lags := map[string]contract.Author{"alice": {DHTKey: "key before", DHTKeyBy: "alice", Lists: map[string]contract.List{
				contract.ViaDHT: {Version: 1 << 53, Key: "key before", ID: "0", Write: []string{a}},
			}}}
			if _, err := stage.FollowList(t.Context(), memory[contract.Author]{before: lags}, links, "alice", contract.ViaDHT, now); err != nil {
				t.Fatal(err)
			}
		}
		if _, left := links.now[key(a)]; left {
			t.Errorf("after key %q the link to its relay stays", before)
		}
		if l := links.now[key(b)]; len(l.Via) != 1 || l.Via[contract.ViaNIP65] != 7 || l.Key != "" {
			t.Errorf("after key %q other evidence is %+v", before, l)
		}
		if l := links.now[key(c)]; len(l.Via) != 1 || l.Via[contract.ViaDHT] != 1 || l.Key != "key" {
			t.Errorf("after key %q the link of the list is %+v", before, l)
		}
	}
}

func TestAClaimCountsUntilTheAuthorSpeaks(t *testing.T) {
	const a, b, c = "wss://a.example.com", "wss://b.example.com", "wss://c.example.com"
	key := func(url string) string { return contract.LinkKey(nostr.RelayKey(url), "alice") }
	claimed := contract.Author{DHTKey: "key", DHTKeyBy: "mallory"}
	spoken := contract.Author{DHTKey: "own", DHTKeyBy: "alice"}
	listed := claimed
	listed.Lists = map[string]contract.List{contract.ViaNIP65: {Version: 1, ID: "1"}}
	for _, tc := range []struct {
		name       string
		author, is contract.Author
		counts     bool
		want       []string
	}{
		{"nobody else spoke", claimed, claimed, true, []string{key(a), key(c)}},
		{"a list of their own", listed, listed, false, nil},
		{"a list of their own, meanwhile", claimed, listed, false, nil},
		{"a key of their own, meanwhile", claimed, spoken, false, []string{key(c)}},
	} {
		links := memory[contract.Link]{now: map[string]contract.Link{
			key(b): {URL: b, Via: map[string]int64{contract.ViaClaim: 1, contract.ViaDHT: 1 << 53}}, // of a version that took it for theirs
			key(c): {URL: c, Via: map[string]int64{contract.ViaHint: 0}},
		}}
		authors := memory[contract.Author]{now: map[string]contract.Author{"alice": tc.is}}
		counts, err := stage.FollowClaim(t.Context(), authors, links, "alice", tc.author, 2, []string{a})
		if err != nil || counts != tc.counts {
			t.Errorf("%s: counts is %t, %v", tc.name, counts, err)
		}
		if got := slices.Sorted(maps.Keys(links.now)); !slices.Equal(got, slices.Sorted(slices.Values(tc.want))) {
			t.Errorf("%s: links are %v, want %v", tc.name, links.now, tc.want)
		}
	}
}
