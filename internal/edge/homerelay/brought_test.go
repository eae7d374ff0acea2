package homerelay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// counted fails unless what is counted of new authors is what they have in the store.
func (s *store) counted(t *testing.T) {
	t.Helper()
	err := s.view(func(tx *bbolt.Tx) error {
		by, arrivals := map[bringer]uint64{}, 0
		err := tx.Bucket(newcomers).ForEach(func(pubkey, v []byte) error {
			a, ok := readArrival(v)
			have := uint64(0)
			c := tx.Bucket(byAuthor).Cursor()
			for k, _ := c.Seek(pubkey); bytes.HasPrefix(k, pubkey); k, _ = c.Next() {
				have += uint64(len(tx.Bucket(byID).Get(k[len(k)-idSize:])) + eventCost)
			}
			if arrivals++; !ok || a.bytes != have || tx.Bucket(brought).Get(a.key(pubkey)) == nil {
				t.Errorf("%d bytes are counted of an author who has %d", a.bytes, have)
			}
			by[a.by] += a.bytes
			return nil
		})
		if n := tx.Bucket(brought).Stats().KeyN; n != arrivals {
			t.Errorf("%d authors are new, and %d have been brought", arrivals, n)
		}
		if n := tx.Bucket(portions).Stats().KeyN; n != len(by) {
			t.Errorf("%d have brought authors, and %d have a share", len(by), n)
		}
		for who, bytes := range by {
			if v := tx.Bucket(portions).Get(who[:]); len(v) != 8 || binary.BigEndian.Uint64(v) != bytes {
				t.Errorf("the share of who brought %d bytes is %x", bytes, v)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (s *store) has(t *testing.T, e *nostr.Event) bool {
	t.Helper()
	ok, err := s.Has(e.ID)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// A flood of fresh keys pushes nobody out: whoever brings it has half of the room at most; once the relay is full, it gives way to
// who has brought less, and neither authors of the relay's own process do, nor those of before.
func TestAFloodOfFreshKeysGivesWay(t *testing.T) {
	t.Parallel()
	const most = 4 << 20
	r := startConfig(t, Config{Kinds: []int{0, 10002}, MaxBytes: most})
	now, large := time.Now().Unix(), strings.Repeat("x", 20<<10)
	bring := func(name string, e *nostr.Event) (ok bool, why string) { return r.AcceptFrom(name, e) }
	must := func(ok bool, why string) {
		t.Helper()
		if !ok {
			t.Fatal(why)
		}
	}
	followed, early := newSigner(t).event(10002, now-10, large), newSigner(t).event(10002, now-10, large)
	must(r.Accept(followed))
	must(bring("early", early))
	flood := func(name string) (taken int, refusal string) {
		for ; taken < 3*most/len(large); taken++ {
			ok, why := bring(name, newSigner(t).event(10002, now, large))
			if !ok {
				return taken, why
			}
		}
		return taken, ""
	}
	one, why := flood("flood")
	if half := most / 2 / len(large); one > half || one < half*8/10 || !strings.HasPrefix(why, "blocked: most of the new authors") {
		t.Fatalf("one brings %d authors, then %s; half is %d", one, why, half)
	}
	r.store.counted(t)
	two, why := flood("another flood")
	if two == 0 || two >= one || !strings.HasPrefix(why, "blocked: this relay is full") {
		t.Fatalf("another brings %d authors, then %s", two, why)
	}
	r.store.counted(t)
	var honest []*nostr.Event
	c := mustDialFrom(t, r, "127.0.0.7")
	for i := range 10 {
		e := newSigner(t).event(10002, now-int64(i), large)
		c.sendEvent("EVENT", e)
		c.expect("OK", e.ID, true)
		honest = append(honest, e)
	}
	for i := range 100 {
		flood("flood")
		bring(fmt.Sprint("one of many", i%3), newSigner(t).event(10002, now, large))
	}
	for i, e := range append(honest, followed, early) {
		if !r.store.has(t, e) {
			t.Errorf("author %d was pushed out", i)
		}
	}
	if events, bytes, err := r.Kept(); err != nil || bytes > most || events < one {
		t.Errorf("it keeps %d events in %d bytes, %v", events, bytes, err)
	}
	r.store.counted(t)
	for range 20 { // what its own process verified has room to come
		must(r.Accept(newSigner(t).event(10002, now, large)))
	}
	r.store.counted(t)
}

// What was brought while the clock was a year ahead gives way like all else when it is right.
func TestWhatWasBroughtByAClockThatWasAheadGivesWay(t *testing.T) {
	t.Parallel()
	const most = 2 << 20
	r := startConfig(t, Config{Kinds: []int{10002}, MaxBytes: most})
	var ahead atomic.Int64
	r.store.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	now, large := time.Now().Unix(), strings.Repeat("x", 20<<10)
	ahead.Store(int64(365 * 24 * time.Hour))
	full := false
	for i := 0; !full; i++ {
		if i == 3*most/len(large) {
			t.Fatal("the relay is never full")
		}
		ok, why := r.AcceptFrom(fmt.Sprint("flood", i%3), newSigner(t).event(10002, now, large))
		full = !ok && strings.HasPrefix(why, "blocked: this relay is full")
	}
	ahead.Store(0)
	for range 5 {
		if ok, why := r.AcceptFrom("honest", newSigner(t).event(10002, now, large)); !ok {
			t.Error(why)
		}
	}
	r.store.counted(t)
}

// Who was brought by others and then by the relay's own process, or has been here for a month, is not new any more: neither
// counts, nor gives way.
func TestAuthorsSettle(t *testing.T) {
	t.Parallel()
	r := startConfig(t, Config{Kinds: []int{0, 10002}, MaxBytes: 1 << 20})
	at := time.Now()
	author, other := newSigner(t), newSigner(t)
	for kind, e := range map[int]*nostr.Event{
		0: author.event(0, at.Unix()-5, "{}"), 10002: author.event(10002, at.Unix()-9, ""), 1: other.event(10002, at.Unix()-9, ""),
	} {
		if ok, why := r.AcceptFrom("x", e); !ok {
			t.Fatal(kind, why)
		}
	}
	r.store.counted(t)
	news := func() (n int) {
		_ = r.store.view(func(tx *bbolt.Tx) error { n = tx.Bucket(newcomers).Stats().KeyN; return nil })
		return n
	}
	for i, step := range []struct {
		e   *nostr.Event
		own bool
		new int
	}{
		{author.event(10002, at.Unix()-8, "newer"), false, 2},
		{author.event(5, at.Unix()-7, "", nostr.Tag{"a", "10002:" + author.pubkey() + ":"}), false, 2},
		{author.event(0, at.Unix()-4, "{\"name\":\"x\"}"), true, 1},
		{author.event(0, at.Unix()-3, "{\"name\":\"y\"}"), false, 1},
	} {
		accept := r.Accept
		if !step.own {
			accept = func(e *nostr.Event) (bool, string) { return r.AcceptFrom("y", e) }
		}
		if ok, why := accept(step.e); !ok {
			t.Fatal(i, why)
		}
		if r.store.counted(t); news() != step.new {
			t.Errorf("step %d: %d authors are new, want %d", i, news(), step.new)
		}
	}
	later := r.store.today() + newDays
	_, err := r.store.updateStep(stepPages, func(st *step) error { return st.settleOld(later) })
	if r.store.counted(t); err != nil || news() != 0 {
		t.Errorf("after a month %d authors are new, %v", news(), err)
	}
}

// No author fills the relay by deletions: the newest are kept, and nothing is left of the others.
func TestAnAuthorHasSoManyDeletions(t *testing.T) {
	t.Parallel()
	r := startConfig(t, Config{Kinds: []int{10002}, MaxBytes: 64 << 20})
	author, now := newSigner(t), time.Now().Unix()
	deletion := func(at int64) *nostr.Event {
		tags := []nostr.Tag{{"k", "10002"}}
		for i := range 20 {
			tags = append(tags, nostr.Tag{"e", fmt.Sprintf("%062x%02x", at, i)})
		}
		return author.event(5, at, "", tags...)
	}
	for i := range 3 * maxEndings {
		if ok, why := r.AcceptFrom("x", deletion(now-1000+int64(i))); !ok {
			t.Fatal(why)
		}
	}
	if ok, why := r.AcceptFrom("x", deletion(now-2000)); ok || !strings.HasPrefix(why, "blocked: ") {
		t.Errorf("an older one: %t, %s", ok, why)
	}
	if ok, why := r.AcceptFrom("x", deletion(now-1000+3*maxEndings-1)); !ok {
		t.Errorf("one that is there: %s", why)
	}
	events, _, err := r.Kept()
	marks := 0
	_ = r.store.view(func(tx *bbolt.Tx) error { marks = tx.Bucket(deleted).Stats().KeyN; return nil })
	if err != nil || events != maxEndings || marks != 20*maxEndings {
		t.Errorf("%d deletions are kept, with %d marks, %v", events, marks, err)
	}
	r.store.counted(t)
}
