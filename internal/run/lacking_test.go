package run

import (
	"bytes"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// Whoever has an event is not given it, the others are, once, and it is read of one.
func TestEachIsGivenWhatItLacksOnce(t *testing.T) {
	const m, x, y, both = 1, 2, 3, 4 // of the middle, of one other each, of both others
	l := newLacking()
	for relay, own := range map[string]byte{"x": x, "y": y} {
		tell := l.note(relay)
		for range 2 {
			tell(negentropy.SideA, negentropy.ID{own})
			tell(negentropy.SideA, negentropy.ID{both})
			tell(negentropy.SideB, negentropy.ID{m})
		}
	}
	given := func(relay string) (to [2][]byte) {
		for side, list := range l.give(relay) {
			for _, id := range list {
				to[side] = append(to[side], id[0])
			}
			slices.Sort(to[side])
		}
		return to
	}
	steps := []struct {
		relay  string
		want   [2][]byte
		brings []negentropy.ID
	}{
		{"x", [2][]byte{{x, both}, {m}}, []negentropy.ID{{x}, {both}}},
		{"y", [2][]byte{{y}, {m, x}}, []negentropy.ID{{y}}},
		{"x", [2][]byte{nil, {y}}, nil},
		{"y", [2][]byte{nil, nil}, nil},
	}
	for n, step := range steps {
		if got := given(step.relay); !bytes.Equal(got[0], step.want[0]) || !bytes.Equal(got[1], step.want[1]) {
			t.Errorf("step %d: the middle and %s are given %v, want %v", n, step.relay, got, step.want)
		}
		l.brings(step.relay, step.brings)
	}
}
