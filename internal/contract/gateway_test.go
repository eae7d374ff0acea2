package contract

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Whoever may write the bucket of gateways spoils no sum, no clock and no page by what it says of itself.
func TestWhatAGatewaySaysOfItselfIsBounded(t *testing.T) {
	long := strings.Repeat("é", 4<<10)
	now := time.Now().Unix()
	forged := GatewayProcess{
		Gateway: Gateway{
			Relay: long, Connections: math.MaxInt64, Messages: math.MinInt64, Watched: math.MaxInt64, Completed: math.MaxInt64, Vain: -1,
			Waits: math.MaxInt64, WaitMS: math.MaxInt64,
		},
		Version: long, Host: long, Started: now + 1<<40, At: now + 1<<40, Wrong: long,
	}
	forged.Believe(now)
	if forged.Started != 0 || forged.At != 0 || forged.Messages != 0 || forged.Vain != 0 {
		t.Errorf("believed is %+v", forged)
	}
	if n := len(forged.Relay) + len(forged.Version) + len(forged.Host) + len(forged.Wrong); n > 4*100 {
		t.Errorf("%d bytes of words are believed", n)
	}
	var sum Gateway
	for range MaxGateways {
		sum = sum.Plus(forged.Gateway)
	}
	if sum.Connections <= 0 || sum.Watched <= 0 || sum.Completed <= 0 || sum.Waits <= 0 || sum.WaitMS <= 0 || sum.Wait() != 1 {
		t.Errorf("a sum runs over: %+v", sum)
	}
	url := "wss://" + strings.Repeat("a", nostr.MaxURLBytes-6)
	honest := GatewayProcess{Gateway: Gateway{Relay: url, Connections: 3, WaitMS: 7}, At: now, Started: now - 5, Wrong: "refused"}
	want := honest
	honest.Believe(now)
	if honest != want || honest.Wait() != 7 {
		t.Errorf("of %+v %+v is believed", want, honest)
	}
	if c := honest.Condition(); c.Wrong == "" || c.Do == "" || (GatewayProcess{}).Condition().Do != "" {
		t.Errorf("its condition is %+v", c)
	}
}
