package syncing

import (
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/health"
)

func TestTheHealthOfARelayIsWrittenDown(t *testing.T) {
	now := time.Unix(100, 0)
	var r contract.Relay
	for i, want := range []int64{0, 0, 700} {
		if r = decideHealth(r, health.Failed, "no answer", 0, now, 0.5); r.RetryAt != want || r.Failures != i+1 || r.Fault != "no answer" {
			t.Errorf("after %d failures, want it left alone until %d: %+v", i+1, want, r)
		}
	}
	if again := decideHealth(r, health.Failed, "another", 0, now, 0.5); again.Failures != 3 || again.RetryAt != 700 ||
		again.Fault != "no answer" {
		t.Errorf("a failure that is judged again while the circuit is open changes %+v to %+v", r, again)
	}
	if r = decideHealth(r, health.Answered, "", 80*time.Millisecond, now, 0.5); r.Failures != 0 || r.Fault != "" || r.RetryAt != 0 ||
		r.LatencyMS != 80 {
		t.Errorf("after a success: %+v", r)
	}
	if r = decideHealth(r, health.Answered, "", 120*time.Millisecond, now, 0.5); r.LatencyMS != 90 {
		t.Errorf("latency %d is not smoothed", r.LatencyMS)
	}
	if r = decideHealth(r, health.Refused, "restricted: members only", 0, now, 0.5); r.RetryAt != 100+6*60*60 ||
		r.Fault != "restricted: members only" {
		t.Errorf("who does not serve us: %+v", r)
	}
}
