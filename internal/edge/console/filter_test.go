package console

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A list shows those of one state alone, wherever in the bucket they are, and counts the states of all.
func TestListsAreFilteredOverAllAndNotOverAPage(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Unix()
	for i := range perPage + 30 {
		url := fmt.Sprintf("wss://r%03d.example.com", i)
		r := contract.Relay{URL: url, ProbedAt: now}
		if i%2 == 0 {
			r.ProbeFailures = 2
		}
		if i == perPage+29 {
			r.Failures, r.Fault = 1, "no"
		}
		w.put(contract.BucketRelays, nostr.RelayKey(url), r)
		held := 9
		if i == perPage+20 {
			held = 0
		}
		w.put(contract.BucketRecords, contract.RecordKey(target(i)), recordHeld(i, held, now))
	}
	if err := w.console.counter.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := ask[relaysView](w, "/relays?health=failing")
	if len(v.Relays) != 1 || v.Relays[0].Health != healthFailing || v.Next != 0 ||
		fmt.Sprint(v.Healths) != "[{failing 1} {silent 65} {ok 64}]" {
		t.Errorf("failing are %+v of %v", v.Relays, v.Healths)
	}
	lost := ask[recordsView](w, "/records?state=lost")
	if len(lost.Records) != 1 || lost.Records[0].Target != target(perPage+20) || fmt.Sprint(lost.States) != "[{lost 1} {kept 129}]" {
		t.Errorf("lost are %+v of %v", lost.Records, lost.States)
	}
	if page := w.page("/records?state=lost"); !strings.Contains(page, `<strong class="dead">0 of 12 nodes</strong>`) {
		t.Error("a record that no node holds is not shown in red")
	}
	first := ask[recordsView](w, "/records?state=kept")
	second := ask[recordsView](w, fmt.Sprintf("/records?state=kept&from=%d", first.Next))
	if len(first.Records) != perPage || first.Left != 29 || len(second.Records) != 29 || second.Next != 0 {
		t.Errorf("pages of %d, with %d left, and %d", len(first.Records), first.Left, len(second.Records))
	}
	if page := w.page("/records?state=kept"); !strings.Contains(page, fmt.Sprintf("/records?from=%d&amp;state=kept", first.Next)) {
		t.Error("the second page is not of the same state")
	}
	if v := ask[recordsView](w, "/records?state=kept&slice=3f"); len(v.Records) != 0 {
		t.Errorf("in another slice are %+v", v.Records)
	}
	if v := ask[recordsView](w, "/records?state=kept&from=99999"); len(v.Records) != 0 || v.Next != 0 {
		t.Errorf("behind the end are %+v", v.Records)
	}
	for _, bad := range []string{"/relays?health=nonsense", "/records?state=nonsense", "/records?state=" + hostile[:8]} {
		if rec := w.do(http.MethodGet, bad, ""); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, rec.Code)
		}
	}
}
