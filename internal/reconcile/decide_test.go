package reconcile

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Halves of a window cover it, do not overlap, and come to an end.
func TestSplitCoversTheWindow(t *testing.T) {
	for _, w := range []window{
		{0, 0, 0}, {5, 0, 0}, {today, 0, 0}, {0, 1, 0}, {0, 2, 0}, {7, 8, 0}, {7, 9, 3}, {today, today + 1, 0}, {1, today, 1},
	} {
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
	for _, w := range []window{{7, 7, 0}, {0, 1, 0}, {today + 2*nostr.MaxFuture, 0, 0}} {
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
	k := newVerdicts()
	for n := range 10 * maxReasons {
		id := negentropy.ID{byte(n), byte(n >> 8)}
		if err := k.refuse(Refusal{id, negentropy.SideB, Reason{Cause: Cause(n % 3), Text: fmt.Sprint("no: ", n)}}, int32(n)); err != nil {
			t.Fatal(err)
		}
		if r, round, ok := k.refused(negentropy.SideB, id); !ok || round != int32(n) || r.Cause != Cause(n%3) {
			t.Fatalf("%d: %+v", n, r)
		}
	}
	if len(k.reasons) > maxReasons+3 {
		t.Errorf("%d reasons", len(k.reasons))
	}
	if _, _, ok := k.refused(negentropy.SideA, negentropy.ID{}); ok {
		t.Error("the sides are mixed up")
	}
}

func TestDividedFiltersCoverTheFilter(t *testing.T) {
	names := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("%05d", (i*7)%n))
		}
		return list
	}
	small := nostr.Filter{Kinds: []int{1}, Authors: names(MaxNamed), IDs: names(2)}
	for _, void := range []nostr.Filter{
		{IDs: []string{}}, {Authors: []string{}}, {Kinds: []int{}}, {Tags: map[string][]string{"p": {}}},
	} {
		if got := Divide(void); got != nil {
			t.Errorf("%+v, which nothing matches, becomes %+v", void, got)
		}
	}
	if got := Divide(small); len(got) != 1 || !reflect.DeepEqual(got[0], small) {
		t.Errorf("a small filter becomes %d", len(got))
	}
	f := nostr.Filter{Kinds: []int{1}, Since: 7, Authors: append(names(601), "00000"), IDs: names(503)}
	before := slices.Clone(f.Authors)
	parts, pairs := Divide(f), map[[2]string]int{}
	for _, p := range parts {
		if len(p.Authors) > MaxNamed || len(p.IDs) > MaxNamed || p.Since != 7 || len(p.Kinds) != 1 {
			t.Errorf("%d authors, %d ids, since %d", len(p.Authors), len(p.IDs), p.Since)
		}
		for _, a := range p.Authors {
			for _, id := range p.IDs {
				pairs[[2]string{a, id}]++
			}
		}
	}
	if len(parts) != 4 || len(pairs) != 601*503 || slices.Max(slices.Collect(maps.Values(pairs))) != 1 {
		t.Errorf("%d parts of %d pairs", len(parts), len(pairs))
	}
	if !slices.Equal(f.Authors, before) {
		t.Error("the filter itself is changed")
	}
}
