package negentropy

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each of these crashes, hangs or exhausts some implementation.
var hostileMessages = []struct{ name, hex string }{
	{"empty", ""},
	{"not a version", "00"},
	{"bound cut short", "6101"},
	{"prefix length of all ones", "6101ffffffffffffffffff7f01"},
	{"prefix of 33 bytes", "610121" + strings.Repeat("00", 33) + "00"},
	{"prefix cut short", "61012000"},
	{"mode cut short", "610000"},
	{"unknown mode", "61000003"},
	{"large mode", "610000ffffffff7f"},
	{"fingerprint cut short", "610000010011223344"},
	{"list without a count", "61000002"},
	{"list of 1.7e11 ids", "6100000284ffffffff00"},
	{"list of 2^63 ids", "6100000281808080808080808000"},
	{"list cut short", "6100000201" + strings.Repeat("00", 31)},
	{"number above 64 bits", "6183ffffffffffffffffff7f0000"},
	{"number without an end", "61" + strings.Repeat("80", 1000)},
	{"bounds out of order", "61050207070001010600"},
}

func TestHostileMessages(t *testing.T) {
	store := NewVector(randomItems(100, 1))
	for _, m := range hostileMessages {
		t.Run(m.name, func(t *testing.T) {
			msg := unhex(t, m.hex)
			if answer, err := NewReconciler(store, Options{}).Respond(msg); err == nil {
				t.Errorf("responder answers %x", answer)
			}
			if next, done, err := NewReconciler(store, Options{}).Reconcile(msg); err == nil {
				t.Errorf("initiator goes on with %x, done: %v", next, done)
			}
			b := NewBridge(BridgeOptions{B: SideOptions{Store: store}})
			if _, ok := b.Next(SideA); !ok {
				t.Fatal("bridge asks nothing")
			}
			if err := b.Feed(SideA, msg); err == nil || b.Err() == nil {
				t.Error("bridge goes on")
			}
			if _, ok := b.Next(SideA); ok || b.Done() {
				t.Error("bridge goes on after an error")
			}
		})
	}
}

func randomItems(n int, seed uint64) []Item {
	rng := rand.New(rand.NewPCG(seed, 0))
	items := make([]Item, n)
	for i := range items {
		items[i] = Item{1_700_000_000 + rng.Uint64N(1<<25), randomID(rng)}
	}
	return items
}

// Timestamps up to the edge of 64 bits are legal, and come back as they are.
func TestFarTimestamps(t *testing.T) {
	for _, ts := range []uint64{1<<57 - 1, 1 << 57, 1<<63 + 999, infinity - 1, infinity} {
		var w writer
		w.reset()
		w.fingerprint(&bound{Item: Item{Timestamp: ts}}, Fingerprint{})
		answer, err := NewReconciler(NewVector(nil), Options{}).Respond(w.buf)
		if err != nil {
			t.Fatal(err)
		}
		in := reader{buf: answer[1:]}
		said, err := in.statement()
		if err != nil || said.upper.Timestamp != ts || said.mode != modeIDList || in.more() {
			t.Errorf("a range up to %d is answered by %x, %v", ts, answer, err)
		}
	}
}

func TestVersions(t *testing.T) {
	r := NewReconciler(NewVector(nil), Options{})
	answer, err := r.Respond([]byte{0x62, 1, 2, 3})
	if err != nil || len(answer) != 1 || answer[0] != version {
		t.Errorf("version 2 is answered by %x, %v; want 61", answer, err)
	}
	if _, _, err := r.Reconcile([]byte{0x62}); !errors.Is(err, ErrVersion) {
		t.Errorf("an initiator says %v to version 2, want ErrVersion", err)
	}
	if _, err := r.Respond([]byte{0x50}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a responder says %v to what is no version, want ErrMalformed", err)
	}
}

func TestCaps(t *testing.T) {
	store, other := NewVector(randomItems(1000, 1)), NewVector(randomItems(1000, 2))
	for name, opts := range map[string]Options{
		"ranges": {MaxRanges: 15},
		"ids":    {MaxIDs: 100},
		"rounds": {MaxMessages: 1},
	} {
		t.Run(name, func(t *testing.T) {
			alice, bob := NewReconciler(store, Options{}), NewReconciler(other, opts)
			msg, done := alice.Initiate(), false
			for !done {
				answer, err := bob.Respond(msg)
				if errors.Is(err, ErrLimit) {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if msg, done, err = alice.Reconcile(answer); err != nil {
					t.Fatal(err)
				}
			}
			t.Error("no ErrLimit")
		})
	}
}

// A claimed length allocates nothing.
func TestClaimsAllocateNothing(t *testing.T) {
	store := NewVector(randomItems(100, 1))
	msg := unhex(t, "6100000284ffffffff00")
	r := NewReconciler(store, Options{})
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := r.Respond(msg); err == nil {
			t.Fatal("no error")
		}
	}); n > 5 {
		t.Errorf("%v allocations for an error", n)
	}
}

// A peer that disagrees, at the end of an answer, about what was settled is asked about it.
func TestADisputeOfWhatWasSettled(t *testing.T) {
	store := NewVector(randomItems(3000, 1))
	alice := NewReconciler(store, Options{FrameLimit: MinFrameLimit})
	alice.Initiate()
	end := endBound()
	for _, at := range []bound{{}, {Item: Item{Timestamp: 1_710_000_000}}} {
		var w writer
		w.reset()
		if at.Timestamp > 0 {
			w.skip(&at)
		}
		w.fingerprint(&end, wildcard)
		for range 3 { // after the first nothing of what was asked is open but what is asked again
			next, done, err := alice.Reconcile(w.buf)
			if err != nil || done {
				t.Fatalf("done %v, %v", done, err)
			}
			checkTrue(t, store, next)
		}
	}
	if _, done, err := alice.Reconcile([]byte{version}); err != nil || !done {
		t.Errorf("done %v, %v", done, err)
	}
	// All is settled, and the peer goes on.
	var w writer
	w.reset()
	w.fingerprint(&end, wildcard)
	next, done, err := alice.Reconcile(w.buf)
	if err != nil || done || len(next) < 300 {
		t.Fatalf("done %v, %v, %d bytes", done, err, len(next))
	}
	checkTrue(t, store, next)
}
