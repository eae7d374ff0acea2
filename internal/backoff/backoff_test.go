package backoff

import (
	"math"
	"testing"
	"time"
)

func TestAWaitDoublesUpToItsBound(t *testing.T) {
	b := Backoff{First: time.Minute, Most: 10 * time.Minute}
	for n, want := range map[int]time.Duration{
		0: time.Minute, 1: time.Minute, 2: 2 * time.Minute, 4: 8 * time.Minute, 5: 10 * time.Minute, math.MaxInt: 10 * time.Minute,
	} {
		if got := b.After(n); got != want {
			t.Errorf("after %d failures %s, want %s", n, got, want)
		}
		if got := b.Wait(n, 0.5); got != want {
			t.Errorf("spread evenly after %d failures %s, want %s", n, got, want)
		}
	}
	if got := (Backoff{First: time.Hour, Most: time.Minute}).After(1); got != time.Minute {
		t.Errorf("the first wait is %s, beyond the bound", got)
	}
}

func TestAWaitIsSpreadOverAQuarterToEitherSide(t *testing.T) {
	b := Backoff{First: time.Minute, Most: time.Hour}
	if low, high := b.Wait(1, 0), b.Wait(1, 1); low != 45*time.Second || high != 75*time.Second {
		t.Errorf("from %s to %s", low, high)
	}
}
