package pair

import (
	"fmt"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// Halves of a window cover it, do not overlap, and come to an end.
func TestSplitCoversTheWindow(t *testing.T) {
	for _, w := range []window{{0, 0, 0}, {5, 0, 0}, {today, 0, 0}, {0, 1, 0}, {0, 2, 0}, {7, 8, 0}, {7, 9, 3}, {today, today + 1, 0}, {1, today, 1}} {
		depth, widest := 0, w
		for at := w; ; depth++ {
			newer, older, ok := at.split(today)
			if !ok {
				break
			}
			if older.since != at.since || newer.until != at.until || newer.since != older.until+1 || newer.seen != w.seen || older.seen != w.seen ||
				older.until < older.since || older.until == 0 || newer.until != 0 && newer.until < newer.since {
				t.Fatalf("%+v into %+v and %+v", at, newer, older)
			}
			at = newer
			if depth%2 == 1 {
				at = older
			}
		}
		if depth > 40 {
			t.Errorf("%+v takes %d cuts", widest, depth)
		}
	}
	for _, w := range []window{{7, 7, 0}, {0, 1, 0}, {today + 2*events.MaxFuture, 0, 0}} {
		if newer, older, ok := w.split(today); ok {
			t.Errorf("%+v into %+v and %+v", w, newer, older)
		}
	}
	if newer, _, _ := (window{}).split(today); newer.since != genesis {
		t.Errorf("the first cut is at %d", newer.since)
	}
}

// Relays that put the id into their reason do not make the memory grow.
func TestReasonsAreBounded(t *testing.T) {
	k := newKnown()
	for n := range 10 * maxWords {
		id := negentropy.ID{byte(n), byte(n >> 8)}
		if err := k.refuse(Refusal{ID: id, To: negentropy.SideB, Cause: Cause(n % 3), Why: fmt.Sprint("no: ", n)}, int32(n)); err != nil {
			t.Fatal(err)
		}
		if r, round, ok := k.refused(negentropy.SideB, id); !ok || round != int32(n) || r.Cause != Cause(n%3) {
			t.Fatalf("%d: %+v", n, r)
		}
	}
	if len(k.reasons) > maxWords+3 {
		t.Errorf("%d reasons", len(k.reasons))
	}
	if _, _, ok := k.refused(negentropy.SideA, negentropy.ID{}); ok {
		t.Error("the sides are mixed up")
	}
}
