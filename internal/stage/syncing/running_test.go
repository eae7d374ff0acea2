package syncing

import (
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// What is under way is told with the figures of all its parts, also of one that is begun
// anew, until it ends; what is reported later says nothing any more.
func TestWhatIsUnderWayIsTold(t *testing.T) {
	s := &Stage{}
	want := func(want ...contract.RunningSync) {
		t.Helper()
		if got, _ := s.Running(); !slices.Equal(got, want) {
			t.Errorf("under way are %+v, want %+v", got, want)
		}
	}
	want()
	later := s.running.sync(contract.RunningSync{URL: "wss://b.example", Begun: 20, Of: 1})
	first := s.running.sync(contract.RunningSync{URL: "wss://a.example", Begun: 10, Done: 2, Of: 4})
	report := first.part(reconcile.Down)
	report(reconcile.Figures{OnlyA: 9, OnlyB: 5, ToA: 1})
	report(reconcile.Figures{OnlyB: 5, ToA: 3, Refused: 1, HeldBack: 1, Passes: 2, Windows: 1, Messages: 8, NegBytes: 100, EventBytes: 1000})
	first.partDone()
	so := contract.RunningSync{
		URL: "wss://a.example", Begun: 10, Done: 3, Of: 4, Missing: 5, Stored: 3, Left: 2, Passes: 2, Windows: 1, Messages: 8, Bytes: 1100,
	}
	want(so, contract.RunningSync{URL: "wss://b.example", Begun: 20, Of: 1})
	report = first.part(reconcile.Up)
	report(reconcile.Figures{OnlyA: 4, OnlyB: 7, ToB: 4, Passes: 1})
	so.Sent, so.Passes = 4, 3
	want(so, contract.RunningSync{URL: "wss://b.example", Begun: 20, Of: 1})
	first.end()
	later.end()
	report(reconcile.Figures{Passes: 9})
	want()

	pass := s.running.pass(contract.RunningPass{Slice: "01", Begun: 5, Of: 3})
	pass.looked()
	if _, got := s.Running(); !slices.Equal(got, []contract.RunningPass{{Slice: "01", Begun: 5, Looked: 1, Of: 3}}) {
		t.Errorf("passes under way are %+v", got)
	}
	pass.end()
	if _, got := s.Running(); len(got) > 0 {
		t.Errorf("after its end %+v is under way", got)
	}
}
