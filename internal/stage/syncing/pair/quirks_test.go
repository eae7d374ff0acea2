package pair

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// Relays hang up on messages of more than 128 KiB (strfry) or 512,000 bytes
// (khatru). A session may be dropped at any time, so the longest message must fit
// beside a filter of 500 authors, in the NEG-OPEN that begins it anew.
func TestMessagesLeaveRoomForTheFilter(t *testing.T) {
	filter := events.Filter{Authors: slices.Repeat([]string{strings.Repeat("a", 64)}, 500)}
	for accepts, most := range map[int]int{0: 131_072, 60_000: 131_072, 32_668: 65_536} {
		l := &line{Side: Side{Accepts: accepts}}
		if open := len(events.Encode(filter)) + 2*l.limits(filter).Accepts + 100; open > most {
			t.Errorf("NEG-OPEN may have %d characters, at most %d are taken", open, most)
		}
	}
}

// A relay that answers a REQ that it has seen before from memory is not told to
// have kept nothing of what was written in between.
func TestARelayThatAnswersFromMemory(t *testing.T) {
	all := make([]events.Event, 700)
	for i := range all {
		all[i] = note(i, today-10_000+int64(i/3))
	}
	a, b := newFake(all[:400]...), newFake(all[250:]...)
	b.no77 = true
	memory := map[string][]events.Event{}
	b.query = func(_ context.Context, filter events.Filter) iter.Seq2[events.Event, error] {
		key := string(events.Encode(filter))
		b.mu.Lock()
		out, known := memory[key]
		b.mu.Unlock()
		if !known {
			out = b.matching(filter)
			out = out[:min(len(out), filter.Limit, 100)]
			b.mu.Lock()
			memory[key] = out
			b.mu.Unlock()
		}
		return func(yield func(events.Event, error) bool) {
			for _, e := range out {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
	want := union(a.ids(), b.ids())
	r := mustSync(t, a, b, options(Both))
	if !r.Complete || r.Left != 0 || r.ToA != 300 || r.ToB != 250 || !slices.Equal(a.ids(), want) || !slices.Equal(b.ids(), want) {
		t.Errorf("%+v", r.Figures)
	}
}
