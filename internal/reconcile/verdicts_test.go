package reconcile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A sync ends that would have to remember of more events why they are left out, or
// more words for that than are kept.
func TestVerdictsAreBounded(t *testing.T) {
	k := newVerdicts()
	refuse := func(i int) error {
		id := negentropy.ID{byte(i), byte(i >> 8), byte(i >> 16)}
		return k.refuse(Refusal{id, negentropy.SideB, ParseReason(fmt.Sprint("blocked: ", i))}, 1)
	}
	for i := range 500_000 {
		if err := refuse(i); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := refuse(500_000); err == nil || len(k.refusals[negentropy.SideB]) != 500_000 {
		t.Errorf("one more is remembered: %v", err)
	}
	if err := refuse(7); err != nil {
		t.Errorf("one that is remembered: %v", err)
	}
	if n := len(k.reasons); n > maxReasons+1 {
		t.Errorf("%d reasons are kept", n)
	}
}

// What is read before it is written is bounded in bytes.
func TestBatchesAreBoundedInBytes(t *testing.T) {
	list := notes(0, 60)
	for i := range list {
		list[i].Content = strings.Repeat("x", 400<<10)
		list[i].ID = list[i].Hash()
	}
	a, b := newFake(), newFake(list...)
	r := newRun(a.side("a"), b.side("b"), nostr.Filter{}, options(Down))
	want := map[string]negentropy.ID{}
	for _, e := range list {
		id, err := negentropy.ParseID(e.ID)
		if err != nil {
			t.Fatal(err)
		}
		want[e.ID] = id
	}
	all, from := len(want), r.sessions[negentropy.SideB]
	from.takes = from.Limits(t.Context())
	batch, err := r.fetch(t.Context(), from, want)
	if most := 8<<20/(400<<10) + 1; err != nil || len(batch) == 0 || len(batch) > most || len(want) != all-len(batch) {
		t.Errorf("%d events are read at once, at most %d may be; %d are left, %v", len(batch), most, len(want), err)
	}
}
