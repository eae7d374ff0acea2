package syncing

import (
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
)

func TestTheCircuitOpensHalfOpensAndCloses(t *testing.T) {
	var r contract.Relay
	var wait int
	for i, want := range []int{0, 0, 1, 2, 3} {
		if n := attempts(r, 100); n != maxAttempts && i < opensAfter || n != 1 && i >= opensAfter {
			t.Errorf("after %d failures it is tried %d times", i, n)
		}
		r.RetryAt = 100
		if r, wait = decideHealth(r, failed, "no answer", 0, 100); wait != want || r.Failures != i+1 || r.Fault != "no answer" || r.RetryAt != 0 {
			t.Errorf("after %d failures: wait %d, want %d; %+v", i+1, wait, want, r)
		}
	}
	if r.RetryAt = 101; attempts(r, 100) != 0 {
		t.Error("an open circuit is tried")
	}
	if again, wait := decideHealth(r, failed, "no answer", 0, 100); wait != 0 || again.Failures != r.Failures || again.RetryAt != r.RetryAt {
		t.Errorf("a failure that is judged again while the circuit is open changes %+v to %+v, wait %d", r, again, wait)
	}
	if !suspect(r, contract.Sync{}) || suspect(contract.Relay{}, contract.Sync{}) {
		t.Error("who failed is suspect, and nobody else")
	}
	if r, wait = decideHealth(r, noFault, "", 80*time.Millisecond, 100); wait != 0 || r.Failures != 0 || r.Fault != "" || r.RetryAt != 0 || r.LatencyMS != 80 {
		t.Errorf("after a success: wait %d, %+v", wait, r)
	}
	if r, _ = decideHealth(r, noFault, "", 120*time.Millisecond, 100); r.LatencyMS != 90 {
		t.Errorf("latency %d is not smoothed", r.LatencyMS)
	}
	if _, wait = decideHealth(r, refused, "restricted: members only", 0, 100); wait < 30 {
		t.Errorf("who does not serve us is left alone for wait %d", wait)
	}
	if !suspect(contract.Relay{}, contract.Sync{Last: events.SyncFinished{Millis: slow.Milliseconds() + 1}}) {
		t.Error("who is slow is suspect")
	}
}
