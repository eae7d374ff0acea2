package homerelay

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/relay"
	port "github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// insertMany stores n events of a few authors, with many equal times. They are
// not signed: the store does not look.
func insertMany(t *testing.T, s *store, r *rand.Rand, n int) []*nostr.Event {
	t.Helper()
	var all []*nostr.Event
	for i := range n {
		e := &nostr.Event{
			Kind: []int{1, 7, 9}[r.IntN(3)], CreatedAt: int64(1_700_000_000 + r.IntN(1+n/4)), Content: strconv.Itoa(i),
			PubKey: strings.Repeat(fmt.Sprintf("%02x", r.IntN(5)), 32), Tags: []nostr.Tag{{"t", strconv.Itoa(i % 3)}},
		}
		e.ID = e.Hash()
		all = append(all, e)
	}
	insertAll(t, s, all)
	return all
}

// reconcileOurs runs pkg/negentropy over our client, and returns what only one
// side has, sorted.
func reconcileOurs(t *testing.T, c *relay.Conn, f nostr.Filter, local []*nostr.Event, frame int) (haves, needs []string) {
	t.Helper()
	var items []negentropy.Item
	for _, e := range local {
		id, err := negentropy.ParseID(e.ID)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
	}
	rec := negentropy.NewReconciler(negentropy.NewVector(items), negentropy.Options{
		FrameLimit: frame,
		Have:       func(id negentropy.ID) { haves = append(haves, id.String()) },
		Need:       func(id negentropy.ID) { needs = append(needs, id.String()) },
	})
	s, answer, err := c.Open(t.Context(), f, rec.Initiate())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		if len(answer) > frameLimit {
			t.Errorf("a frame of %d bytes, at most %d are allowed", len(answer), frameLimit)
		}
		msg, done, err := rec.Reconcile(answer)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			return slices.Compact(sorted(haves)), slices.Compact(sorted(needs))
		}
		if answer, err = s.Exchange(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
}

// Our own client and initiator find every difference, whatever the sizes and
// the filter.
func TestReconcileRandomSets(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, size := range []int{0, 1, 40, 6000} {
		home := startRelay(t, "")
		stored := insertMany(t, home.store, r, size)
		c := dial(t, home)
		since, until := int64(1_700_000_000+size/16), int64(1_700_000_000+size/8)
		author := strings.Repeat("02", 32)
		for _, f := range []nostr.Filter{
			{},
			{Authors: []string{author}},
			{Kinds: []int{1, 9}},
			{Since: since},
			{Authors: []string{author}, Until: until},
			{Tags: map[string][]string{"t": {"1"}}},
		} {
			matches := theirFilter(f).Matches
			var local, there []*nostr.Event
			for _, e := range stored {
				if !matches(theirs(e)) {
					continue
				}
				if there = append(there, e); r.IntN(10) > 0 {
					local = append(local, e)
				}
			}
			for i := range size / 10 {
				e := &nostr.Event{CreatedAt: int64(1_700_000_000 + i), Content: "local"}
				e.ID = e.Hash()
				local = append(local, e)
			}
			for _, mine := range [][]*nostr.Event{local, nil} {
				haves, needs := reconcileOurs(t, c, f, mine, []int{0, 4096, 60_000}[r.IntN(3)])
				if want := without(mine, there); !slices.Equal(haves, want) {
					t.Errorf("%d events, %+v: %d to upload, want %d", size, f, len(haves), len(want))
				}
				if want := without(there, mine); !slices.Equal(needs, want) {
					t.Errorf("%d events, %+v: %d to download, want %d", size, f, len(needs), len(want))
				}
			}
		}
	}
}

// without returns the sorted ids of a that are not in b.
func without(a, b []*nostr.Event) []string {
	in := map[string]bool{}
	for _, e := range b {
		in[e.ID] = true
	}
	var ids []string
	for _, e := range a {
		if !in[e.ID] {
			ids = append(ids, e.ID)
		}
	}
	return sorted(ids)
}

// list returns the answer of a session to "what have you": ids in hex.
func (c *rawClient) list(id string) string {
	c.t.Helper()
	m := c.expect("NEG-MSG", id)
	msg, err := hex.DecodeString(m[2].(string))
	if err != nil {
		c.t.Fatal(err)
	}
	return hex.EncodeToString(msg)
}

// whatHaveYou asks for everything, as an empty list of ids up to infinity.
const whatHaveYou = "6100000200"

func TestSessionForms(t *testing.T) {
	r := startRelay(t, "")
	author := newSigner(t)
	a, b := author.event(1, 1000, ""), author.event(7, 2000, "")
	mustInsert(t, r.store, a, b)
	c := dialRaw(t, r.URL())
	both, onlyA, onlyB, none := "6100000202"+a.ID+b.ID, "6100000201"+a.ID, "6100000201"+b.ID, "6100000200"
	for _, form := range []struct{ filter, rest, want string }{
		{`{}`, `"6100000200"`, both},
		{`{"kinds":[1]}`, `"6100000200"`, onlyA},
		{`[{"kinds":[1]}]`, `"6100000200"`, onlyA},
		{`[{"kinds":[1]},{"kinds":[7]},{}]`, `"6100000200"`, both}, // a union, each event once
		{` [ {"kinds":[1]} ] `, ` "6100000200" `, onlyA},
		{`{"kinds":[1]}`, `32,"6100000200"`, onlyA}, // the first draft
		{`{"limit":1}`, `"6100000200"`, onlyB},      // the newest, as strfry has it
		{`{"limit":0}`, `"6100000200"`, none},
		{`{}`, `"62"`, "61"}, // another version is told ours
	} {
		c.sendf(`["NEG-OPEN","s",%s,%s]`, form.filter, form.rest) // closes the one before
		if got := c.list("s"); got != form.want {
			t.Errorf("%s %s: got %s, want %s", form.filter, form.rest, got, form.want)
		}
	}
	// Hex in either case; the open session goes on.
	c.sendf(`["NEG-OPEN","s",{},"%s"]`, strings.ToUpper(onlyA))
	if got := c.list("s"); got != both {
		t.Errorf("upper case: got %s", got)
	}
	c.sendf(`["NEG-MSG","s","%s"]`, strings.ToUpper(both))
	if got := c.list("s"); got != both {
		t.Errorf("upper case: got %s", got)
	}
	// Sessions and subscriptions have names of their own.
	c.send(`["REQ","s",{"kinds":[7]}]`)
	c.expect("EVENT", "s")
	c.expect("EOSE", "s")
	c.sendf(`["NEG-MSG","s","%s"]`, whatHaveYou)
	c.list("s")
	c.send(`["NEG-CLOSE","s"]`)
	c.sendf(`["NEG-MSG","s","%s"]`, whatHaveYou)
	c.expect("NEG-ERR", "s", "closed: …")
	// What is no message ends the session like a bad one.
	c.send(`["NEG-OPEN","s",{},"61"]`)
	c.list("s")
	c.send(`["NEG-MSG","s","6z"]`)
	c.expect("NEG-ERR", "s", "invalid: …")
	c.sendf(`["NEG-MSG","s","%s"]`, whatHaveYou)
	c.expect("NEG-ERR", "s", "closed: …")
}

// A session keeps to the set that it was opened with; the next sees the rest.
func TestSetsAreShared(t *testing.T) {
	r := startRelay(t, "")
	author := newSigner(t)
	mustInsert(t, r.store, author.event(1, 1000, ""))
	c, other := dialRaw(t, r.URL()), dialRaw(t, r.URL())
	count := func() int {
		r.sets.mu.Lock()
		defer r.sets.mu.Unlock()
		return r.sets.records
	}
	for _, c := range []*rawClient{c, other} {
		c.sendf(`["NEG-OPEN","a",{},"%s"]`, whatHaveYou)
		c.list("a")
		c.sendf(`["NEG-OPEN","b",{},"%s"]`, whatHaveYou)
		c.list("b")
	}
	if n := count(); n != 1 {
		t.Errorf("%d records are held for four sessions over one event", n)
	}
	mustInsert(t, r.store, author.event(1, 2000, ""))
	other.sendf(`["NEG-OPEN","a",{},"%s"]`, whatHaveYou)
	if got := other.list("a"); len(got) != len(whatHaveYou)+2*64 {
		t.Errorf("a session after the insert got %s", got)
	}
	c.sendf(`["NEG-MSG","a","%s"]`, whatHaveYou)
	if got := c.list("a"); len(got) != len(whatHaveYou)+64 {
		t.Errorf("a session from before the insert got %s", got)
	}
	if n := count(); n != 3 {
		t.Errorf("%d records are held for a set of one and a set of two", n)
	}
	for _, id := range []string{"a", "b"} {
		c.sendf(`["NEG-CLOSE",%q]`, id)
		other.sendf(`["NEG-CLOSE",%q]`, id)
	}
	c.alive()
	other.alive()
	if n := count(); n != 0 {
		t.Errorf("%d records are held for no session", n)
	}
}

func TestSessionLimits(t *testing.T) {
	r := startRelay(t, "")
	mustInsert(t, r.store, newSigner(t).event(1, 1000, ""), newSigner(t).event(1, 1000, ""))
	c := dialRaw(t, r.URL())
	for i := range maxSessions {
		c.sendf(`["NEG-OPEN","s%d",{},"61"]`, i)
		c.expect("NEG-MSG", fmt.Sprintf("s%d", i), "61")
	}
	c.send(`["NEG-OPEN","more",{},"61"]`)
	c.expect("NEG-ERR", "more", "blocked: too many concurrent sessions…")
	c.send(`["NEG-OPEN","s0",{},"61"]`) // takes the place of the other s0
	c.expect("NEG-MSG", "s0", "61")
	c.send(`["NEG-CLOSE","s0"]`)
	c.send(`["NEG-OPEN","more",{},"61"]`)
	c.expect("NEG-MSG", "more", "61")

	r.sets.most = 1
	c = dialRaw(t, r.URL())
	c.send(`["NEG-OPEN","large",{"kinds":[1]},"61"]`) // a set that is not shared yet
	if m := c.expect("NEG-ERR", "large", "blocked: too many records (2 > 1)"); len(m) != 4 || m[3] != 1.0 {
		t.Errorf("got %v, want the limit as fourth element", m)
	}
	// Our client knows what that means, and what the refusal above does not.
	_, _, err := dial(t, r).Open(t.Context(), nostr.Filter{Kinds: []int{1}}, []byte{0x61})
	if !errors.Is(err, port.ErrTooLarge) {
		t.Errorf("our client says %v", err)
	}
}

// A client that does not wait for answers loses the session, not more.
func TestSessionAnswersInOrder(t *testing.T) {
	r := startRelay(t, "")
	s := &session{id: "x", in: make(chan []byte, 1), cancel: func() {}, ended: make(chan struct{})}
	close(s.ended)
	c := &client{relay: r, ctx: t.Context(), hold: &holding{}, out: make(chan []byte, 4), sessions: map[string]*session{"x": s}}
	c.viewer.Store(everything)
	for range 2 {
		c.dispatch([]byte(`["NEG-MSG","x","61"]`))
	}
	if got := string(<-c.out); !strings.HasPrefix(got, `["NEG-ERR","x","invalid: messages were sent before`) || len(c.out) != 0 {
		t.Errorf("got %s", got)
	}
}

// A session lives on as long as messages come, in fake time.
func TestSessionStaysOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		l := newLedger(shares)
		r := &Relay{store: s, ledger: l, working: newGate(1), sets: newSets(t.Context(), s, l), sessionTimeout: sessionTimeout}
		c := &client{relay: r, ctx: t.Context(), hold: &holding{}, out: make(chan []byte, 1), sessions: map[string]*session{}}
		c.viewer.Store(everything)
		c.dispatch([]byte(`["NEG-OPEN","x",{},"61"]`))
		for range 10 {
			if got := string(<-c.out); got != `["NEG-MSG","x","61"]` {
				t.Fatalf("got %s", got)
			}
			time.Sleep(sessionTimeout - time.Second)
			c.dispatch([]byte(`["NEG-MSG","x","61"]`))
		}
		<-c.out
		opened := time.Now()
		if got := string(<-c.out); !strings.HasPrefix(got, `["NEG-ERR","x","closed: no message came for 1m0s`) ||
			time.Since(opened) != sessionTimeout {
			t.Errorf("after %v: %s", time.Since(opened), got)
		}
		c.running.Wait()
	})
}

func TestSessionTimeout(t *testing.T) {
	r := startConfig(t, Config{sessionTimeout: 50 * time.Millisecond})
	c := dialRaw(t, r.URL())
	c.send(`["NEG-OPEN","x",{},"61"]`)
	c.expect("NEG-MSG", "x", "61")
	c.expect("NEG-ERR", "x", "closed: no message came for 50ms")
	c.send(`["NEG-MSG","x","61"]`)
	c.expect("NEG-ERR", "x", "closed: …")
	c.send(`["NEG-CLOSE","x"]`) // has nothing to end but a goroutine that is ending
	c.alive()
	r.sets.mu.Lock()
	defer r.sets.mu.Unlock()
	if len(r.sets.shared) != 0 {
		t.Errorf("%d sets are left", len(r.sets.shared))
	}
}
