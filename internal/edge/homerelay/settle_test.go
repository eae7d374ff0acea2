package homerelay

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const manyTags = 3*stepPages + 10

var author = fmt.Sprintf("%064x", 1)

// unsigned makes an event whose signature nobody checks.
func unsigned(kind int, at int64, tags ...nostr.Tag) *nostr.Event {
	e := &nostr.Event{Kind: kind, PubKey: author, CreatedAt: at, Tags: tags}
	e.ID = e.Hash()
	return e
}

// large is unsigned with so many tags that it takes several steps.
func large(kind int, at int64, tags ...nostr.Tag) *nostr.Event {
	for i := range manyTags {
		tags = append(tags, nostr.Tag{"t", strconv.Itoa(i)})
	}
	return unsigned(kind, at, tags...)
}

// tagged are the ids of the events that each of those tags finds.
func tagged(t *testing.T, s *store) []string {
	t.Helper()
	first := idsOf(t, s, nostr.Filter{Tags: map[string][]string{"t": {"0"}}})
	for i := 1; i < manyTags; i += 31 {
		if other := idsOf(t, s, nostr.Filter{Tags: map[string][]string{"t": {strconv.Itoa(i)}}}); !slices.Equal(first, other) {
			t.Fatalf("the first tag finds %v, tag %d finds %v", first, i, other)
		}
	}
	return first
}

// awaitNone waits until a bucket has no entry.
func awaitNone(t *testing.T, s *store, bucket string) {
	t.Helper()
	for entriesOf(t, s, bucket) > 0 {
		runtime.Gosched()
	}
}

// Whatever removes events of many tags, or many events, does so in steps that others
// need not wait long for, after which nothing is left of them.
func TestLargeEventsGoInSteps(t *testing.T) {
	notes := []*nostr.Event{large(1, 1000), large(1, 1001), large(1, 1002)}
	brief := []*nostr.Event{large(1, 1000, nostr.Tag{"expiration", "5000"}), large(1, 1001, nostr.Tag{"expiration", "5001"})}
	var named []nostr.Tag
	for _, e := range notes {
		named = append(named, nostr.Tag{"e", e.ID})
	}
	insert := func(e *nostr.Event) func(*testing.T, *store) {
		return func(t *testing.T, s *store) { mustInsert(t, s, e) }
	}
	for name, test := range map[string]struct {
		stored []*nostr.Event
		remove func(*testing.T, *store)
	}{
		"a newer version":     {[]*nostr.Event{large(10_002, 1000)}, insert(unsigned(10_002, 2000))},
		"a deletion":          {notes, insert(unsigned(5, 2000, named...))},
		"a request to vanish": {notes, insert(unsigned(62, 2000, nostr.Tag{"relay", "ALL_RELAYS"}))},
		"expiry": {brief, func(t *testing.T, s *store) {
			s.now = func() time.Time { return time.Unix(6000, 0) }
			mustInsert(t, s, unsigned(1, 2000))
			awaitNone(t, s, "x")
		}},
		"a deny list": {notes, func(t *testing.T, s *store) {
			s.denied.Set(deny.NewList(deny.Entry{What: deny.Key, Value: author}))
			if _, err := s.purgeDenied(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			s.db.NoSync = true
			s.denied = &deny.Lists{}
			s.now = func() time.Time { return time.Unix(4000, 0) }
			inSteps(t, s, func() { mustInsert(t, s, test.stored...) })
			if got := tagged(t, s); len(got) != len(test.stored) {
				t.Fatalf("%d of %d are found by their tags", len(got), len(test.stored))
			}
			inSteps(t, s, func() { test.remove(t, s); awaitNone(t, s, "u") })
			if got := tagged(t, s); len(got) > 0 {
				t.Errorf("%d are left", len(got))
			}
			if n := entriesOf(t, s, "t"); n > len(named) { // of the deletion itself
				t.Errorf("%d entries of tags are left", n)
			}
		})
	}
}

// inSteps complains if do dirties more pages in a transaction than a step may.
func inSteps(t *testing.T, s *store, do func()) {
	t.Helper()
	before, steps := s.db.Stats(), s.generation.Load()
	do()
	spent := s.db.Stats()
	spent = spent.Sub(&before)
	steps = s.generation.Load() - steps
	if pages := spent.TxStats.GetPageCount(); steps < 3 || pages/int64(steps) > stepPages {
		t.Errorf("%d pages in %d steps", pages, steps)
	}
}

// What a crash leaves of an event that is stored or removed is done by the next
// start, and until then queries get along with it.
func TestSettlesAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	reopen := func() *store {
		s, err := openStore(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	s := reopen()
	e := large(1, 1000)
	r, err := newRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, stored := range []bool{true, false, true} {
		err := s.db.Update(func(tx *bbolt.Tx) error { // the first step, and no other
			st := &step{tx: tx, pages: stepPages}
			if stored {
				return st.put(r, nostr.Encode(e))
			}
			return st.remove(r)
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < manyTags; i += 31 { // not all find it, none fails
			if got := idsOf(t, s, nostr.Filter{Tags: map[string][]string{"t": {strconv.Itoa(i)}}}); !stored && len(got) > 0 {
				t.Fatalf("tag %d finds an event that has been removed", i)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = reopen()
		awaitNone(t, s, "u")
		want := []string{}
		if stored {
			want = []string{e.ID}
		}
		if got := tagged(t, s); !slices.Equal(got, want) {
			t.Fatalf("stored is %v: found are %v", stored, got)
		}
		if n := entriesOf(t, s, "t"); n != len(want)*manyTags {
			t.Fatalf("stored is %v: %d entries of tags", stored, n)
		}
	}
}

// An event may be removed, and stored again, while somebody settles it.
func TestSettlesWhatChangesMeanwhile(t *testing.T) {
	for name, e := range map[string]*nostr.Event{
		"several steps": large(1, 1000), "one step": unsigned(1, 1000, large(1, 1000).Tags[:100]...),
	} {
		s := newStore(t)
		r, err := newRecord(e)
		if err != nil {
			t.Fatal(err)
		}
		do := func(pages int, change func(*step) error) {
			t.Helper()
			if _, err := s.updateStep(pages, change); err != nil {
				t.Fatal(err)
			}
		}
		put := func(st *step) error { return st.put(r, nostr.Encode(e)) }
		remove := func(st *step) error { return st.remove(r) }
		var late work // of who is at work on what was before
		resume := func(st *step) error { return late.resume(st, r.id) }
		do(stepPages, put)
		do(2*stepPages, resume)
		do(1, remove)
		if name == "several steps" {
			err = s.settle(party{}, r.id)
		} else {
			do(20, resume)
		}
		if err != nil {
			t.Fatal(err)
		}
		do(stepPages, put)
		for late.over = false; !late.over; {
			do(stepPages, resume)
		}
		for _, tag := range e.Tags {
			if got := idsOf(t, s, nostr.Filter{Tags: map[string][]string{"t": {tag[1]}}}); !slices.Equal(got, []string{e.ID}) {
				t.Fatalf("%s: tag %s finds %v", name, tag[1], got)
			}
		}
	}
}

// While others wait a large event is stored in shorter steps, the first among them. A party
// that waits for itself alone has no reason to.
func TestStepsAreBriefWhileOthersWait(t *testing.T) {
	s, p := newStore(t), testParty("192.0.2.1/32")
	steps := func() uint64 {
		before := s.generation.Load()
		if err := s.insertFor(p, large(1, int64(1000+before)), s.keepsFrom(p), func() {}); err != nil {
			t.Fatal(err)
		}
		return s.generation.Load() - before
	}
	if n := steps(); n > manyTags/stepPages+2 {
		t.Errorf("%d steps while nobody waits", n)
	}
	const never = maxDirty + 1 // is no width that fits
	other := s.turns.queue(&turn{party: testParty("198.51.100.1/32"), width: never}, 1<<40)
	if n := steps(); n < manyTags/briefPages {
		t.Errorf("%d steps while another waits", n)
	}
	s.turns.giveUp(other)
	own := s.turns.queue(&turn{party: p, width: never}, 1<<40)
	if s.briefly(p, stepPages) != stepPages {
		t.Error("brief, while nobody else waits")
	}
	s.turns.giveUp(own)
}

// A small event does not wait for the steps of large ones, however many parties
// store those.
func TestSmallEventsGoBetweenSteps(t *testing.T) {
	s := newStore(t)
	running, proceed := make(chan struct{}), make(chan struct{})
	go func() {
		s.turns.enter(t.Context(), party{}, maxDirty, 1)
		defer s.turns.leave(maxDirty)
		close(running)
		<-proceed
	}()
	<-running
	const others = 20
	done := make(chan string, others+1)
	insert := func(p party, e *nostr.Event, name string) {
		pages := insertPages(e)
		if s.turns.enter(t.Context(), p, pages, pages) {
			if err := s.insertFor(p, e, s.keepsFrom(p), func() { s.turns.leave(pages) }); err != nil {
				t.Error(err)
			}
		}
		done <- name
	}
	waiting := func() int {
		s.turns.mu.Lock()
		defer s.turns.mu.Unlock()
		return len(s.turns.waiting)
	}
	for i := range others {
		go insert(testParty(fmt.Sprintf("192.0.2.%d/32", i)), large(1, int64(1000+i)), "large")
	}
	for waiting() < others {
		runtime.Gosched()
	}
	go insert(testParty("198.51.100.1/32"), unsigned(1, 3000), "small")
	for waiting() < others+1 {
		runtime.Gosched()
	}
	close(proceed)
	if first := <-done; first != "small" {
		t.Error("the small event was not the first to be stored")
	}
	for range others {
		<-done
	}
}
