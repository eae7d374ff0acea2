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
		follow, want  contract.List
		before        string
	}{
		{"the list before is shown", with(newer), with(older), newer, newer, a},
		{"no author is shown", nil, nil, newer, newer, a},
		{"a newer one came meanwhile", with(newer), nil, older, newer, a},
	} {
		t.Run(c.name, func(t *testing.T) {
			links := memory[contract.Link]{now: map[string]contract.Link{
				contract.LinkKey(nostr.RelayKey(c.before), "alice"): {URL: c.before, Via: map[string]int64{contract.ViaNIP65: 1}},
			}}
			got, err := stage.FollowList(t.Context(), memory[contract.Author]{c.stored, c.shown}, links, "alice", contract.ViaNIP65, c.follow)
			if err != nil || got.ID != c.want.ID {
				t.Errorf("followed %+v, %v, want %+v", got, err, c.want)
			}
			want := []string{contract.LinkKey(nostr.RelayKey(b), "alice")}
			if keys := slices.Collect(maps.Keys(links.now)); !slices.Equal(keys, want) {
				t.Errorf("links are %v, want %v", keys, want)
			}
		})
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
	newer := contract.List{Version: 2, ID: "2"}
	if _, err := stage.FollowList(t.Context(), authors, links, "alice", contract.ViaNIP65, newer); err == nil {
		t.Error("followed, although KV does not show the evidence that is to be taken")
	}
	links.before = nil
	if _, err := stage.FollowList(t.Context(), authors, links, "alice", contract.ViaNIP65, newer); err != nil || len(links.now) > 0 {
		t.Errorf("again: %v, links %v", err, links.now)
	}
}
