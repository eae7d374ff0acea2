package homerelay

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestReplaceableKeepsNewest(t *testing.T) {
	author, other := newSigner(t), newSigner(t)
	// Same second: the lowest id wins.
	tie := []*nostr.Event{author.event(0, 300, "x"), author.event(0, 300, "y"), author.event(0, 300, "z")}
	slices.SortFunc(tie, func(a, b *nostr.Event) int { return strings.Compare(a.ID, b.ID) })
	all := append([]*nostr.Event{
		author.event(0, 100, "old"),
		author.event(10002, 100, ""), author.event(10002, 200, ""),
		author.event(30023, 100, "", nostr.Tag{"d", "a"}), author.event(30023, 200, "", nostr.Tag{"d", "a"}),
		author.event(30023, 50, "", nostr.Tag{"d", "b"}),
		other.event(0, 10, "other's"),
		author.event(1, 1, "a"), author.event(1, 1, "b"),
	}, tie...)
	want := []string{all[2].ID, all[4].ID, all[5].ID, all[6].ID, all[7].ID, all[8].ID, tie[0].ID}
	slices.Sort(want)
	for seed := range uint64(20) {
		s := newStore(t)
		shuffled := slices.Clone(all)
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for _, e := range shuffled {
			if err := s.Insert(e); err != nil && !errors.Is(err, errReplaced) {
				t.Fatal(err)
			}
		}
		got := idsOf(t, s, nostr.Filter{})
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: kept %d events, want %d", seed, len(got), len(want))
		}
	}
}

func TestDeletion(t *testing.T) {
	author, other := newSigner(t), newSigner(t)
	note := author.event(1, 100, "regretted")
	foreign := other.event(1, 100, "stays")
	article := author.event(30023, 100, "v1", nostr.Tag{"d", "a"})
	rewritten := author.event(30023, 300, "v2", nostr.Tag{"d", "a"})
	list := author.event(10002, 100, "")
	del := author.event(5, 200, "",
		nostr.Tag{"e", note.ID}, nostr.Tag{"e", foreign.ID}, nostr.Tag{"e", "nonsense"}, nostr.Tag{"e"}, nostr.Tag{},
		nostr.Tag{"a", "30023:" + author.pubkey() + ":a"},
		nostr.Tag{"a", "10002:" + author.pubkey() + ":"},
		nostr.Tag{"a", "10002:" + other.pubkey() + ":"},
		nostr.Tag{"a", "x"})
	undelete := author.event(5, 201, "", nostr.Tag{"e", del.ID})
	want := []string{foreign.ID, rewritten.ID, del.ID, undelete.ID}
	slices.Sort(want)
	check := func(t *testing.T, s *store) {
		t.Helper()
		got := idsOf(t, s, nostr.Filter{})
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("kept %d events, want the foreign note, the rewritten article and both deletions", len(got))
		}
	}
	t.Run("after", func(t *testing.T) {
		s := newStore(t)
		mustInsert(t, s, note, foreign, article, list, del, undelete, rewritten)
		check(t, s)
		for _, e := range []*nostr.Event{note, article, list} {
			if err := s.Insert(e); err == nil {
				t.Errorf("a deleted event of kind %d came back", e.Kind)
			}
		}
		check(t, s)
	})
	t.Run("between", func(t *testing.T) {
		s := newStore(t)
		mustInsert(t, s, note, foreign, rewritten, list, del, undelete)
		check(t, s)
	})
	t.Run("before", func(t *testing.T) {
		s := newStore(t)
		mustInsert(t, s, undelete, del, foreign)
		for _, e := range []*nostr.Event{note, article, list} {
			if err := s.Insert(e); !errors.Is(err, errDeleted) {
				t.Errorf("kind %d: %v, want it refused as deleted", e.Kind, err)
			}
		}
		mustInsert(t, s, rewritten)
		check(t, s)
	})
}

func TestExpiration(t *testing.T) {
	s := newStore(t)
	now := time.Unix(1000, 0)
	s.now = func() time.Time { return now }
	author := newSigner(t)
	brief := author.event(1, 900, "", nostr.Tag{"expiration", "1010"})
	lasting := author.event(1, 901, "", nostr.Tag{"expiration", "soon"})
	if err := s.Insert(author.event(1, 900, "", nostr.Tag{"expiration", "1000"})); !errors.Is(err, errExpired) {
		t.Errorf("an expired event: %v", err)
	}
	mustInsert(t, s, brief, lasting)
	filters := []nostr.Filter{{}, {IDs: []string{brief.ID, lasting.ID}}, {Authors: []string{author.pubkey()}}, {Kinds: []int{1}}}
	for _, f := range filters {
		if got := idsOf(t, s, f); len(got) != 2 {
			t.Errorf("before: %+v gives %d events, want 2", f, len(got))
		}
	}
	now = now.Add(10 * time.Second)
	for _, f := range filters {
		if got := idsOf(t, s, f); !slices.Equal(got, []string{lasting.ID}) {
			t.Errorf("after: %+v gives %v, want the lasting event", f, got)
		}
	}
	// The next write clears it out of every bucket.
	mustInsert(t, s, author.event(1, 902, "later"))
	for entriesOf(t, s, "x") > 0 {
		runtime.Gosched()
	}
	for name, want := range map[string]int{"e": 2, "c": 2, "p": 2, "k": 2} {
		if n := entriesOf(t, s, name); n != want {
			t.Errorf("bucket %s has %d entries, want %d", name, n, want)
		}
	}
}

// Removing an event must leave no entry behind in any index.
func TestRemoveLeavesNothing(t *testing.T) {
	s, author := newStore(t), newSigner(t)
	for v := range 5 {
		tags := []nostr.Tag{{"d", "same"}, {"t", strconv.Itoa(v)}, {"t", strconv.Itoa(v)}, {"e", "x"}, {"long", "y"}, {"t"}}
		mustInsert(t, s, author.event(30000, int64(v), "", tags...))
	}
	err := s.db.View(func(tx *bbolt.Tx) error {
		for name, want := range map[string]int{"e": 1, "c": 1, "p": 1, "k": 1, "t": 3, "r": 1, "x": 0, "d": 0} {
			if n := tx.Bucket([]byte(name)).Stats().KeyN; n != want {
				t.Errorf("bucket %s has %d entries, want %d", name, n, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBadEvents(t *testing.T) {
	s := newStore(t)
	good := *newSigner(t).event(1, 1, "")
	for name, damage := range map[string]func(*nostr.Event){
		"short id":      func(e *nostr.Event) { e.ID = e.ID[:62] },
		"long id":       func(e *nostr.Event) { e.ID += "zz" },
		"no hex":        func(e *nostr.Event) { e.PubKey = strings.Repeat("z", 64) },
		"negative time": func(e *nostr.Event) { e.CreatedAt = -1 },
		"kind":          func(e *nostr.Event) { e.Kind = 65536 },
	} {
		e := good
		damage(&e)
		if err := s.Insert(&e); err == nil || !strings.HasPrefix(err.Error(), "invalid: ") {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	if got := idsOf(t, s, nostr.Filter{}); len(got) != 0 {
		t.Errorf("%d bad events were stored", len(got))
	}
}

func TestStoreIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := openStore(path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second open: %v", err)
	}
}
