package health

import (
	"testing"
	"time"
)

var now = time.Unix(1_700_000_000, 0)

// after returns the state after some failures in a row, each when its wait is over.
func after(u Use, failures int) (s State, wait time.Duration) {
	at := now
	for range failures {
		s = u.Next(s, Failed, at, 0.5)
		if wait = 0; s.LeftAlone(at) {
			wait, at = s.LeftAloneUntil.Sub(at), s.LeftAloneUntil
		}
	}
	return s, wait
}

// Every use, with its wait after the first failures and after many.
func TestEveryUseHasItsTimes(t *testing.T) {
	for name, c := range map[string]struct {
		use   Use
		waits []time.Duration
		most  time.Duration
	}{
		"dial":   {Dial, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, 10 * time.Minute},
		"local":  {Local, []time.Duration{time.Second, 2 * time.Second, 2 * time.Second}, 2 * time.Second},
		"probe":  {Probe, []time.Duration{5 * time.Second, 10 * time.Second}, 24 * time.Hour},
		"within": {Probe.Within(time.Minute), []time.Duration{5 * time.Second, 10 * time.Second}, time.Minute},
		"sync":   {Sync, []time.Duration{0, 0, 10 * time.Minute, 20 * time.Minute}, 6 * time.Hour},
		"libp2p": {Libp2p, []time.Duration{10 * time.Minute, 10 * time.Minute}, 10 * time.Minute},
	} {
		for i, want := range append(c.waits, c.most) {
			n := i + 1
			if i == len(c.waits) {
				n = 40
			}
			if s, wait := after(c.use, n); wait != want || s.Failures != n {
				t.Errorf("%s: after %d failures %s, want %s; %+v", name, n, wait, want, s)
			}
		}
		if s := c.use.Next(State{}, Refused, now, 0.5); s.LeftAloneUntil.Sub(now) != c.most && c.most > 0 {
			t.Errorf("%s: who refuses is left alone until %s", name, s.LeftAloneUntil)
		}
	}
}

// A relay that is wanted is tried within seconds for ten minutes, sooner the shorter it
// is away, and every minute then, however the waits are spread.
func TestAWantedRelayIsTriedAgainSoon(t *testing.T) {
	for _, jitter := range []float64{0, 0.5, 0.999} {
		s, at := State{}, now
		for n := 1; at.Sub(now) < time.Hour; n++ {
			s = Wanted.Next(s, Failed, at, jitter)
			least, most := 700*time.Millisecond, min(4*time.Second, max(1250*time.Millisecond, at.Sub(now)/3))
			if at.Sub(now) >= 10*time.Minute {
				least, most = 30*time.Second, time.Minute
			}
			if wait := s.LeftAloneUntil.Sub(at); wait < least || wait > most {
				t.Fatalf("spread %v: after %s and %d failures it waits %s", jitter, at.Sub(now), n, wait)
			}
			at = s.LeftAloneUntil
		}
		if s = Wanted.Next(Wanted.Next(s, Answered, at, jitter), Failed, at, jitter); s.LeftAloneUntil.Sub(at) > 2*time.Second {
			t.Errorf("after a success it waits %s", s.LeftAloneUntil.Sub(at))
		}
	}
}

func TestTheCircuitOpensHalfOpensAndCloses(t *testing.T) {
	var s State
	for n, want := range []int{3, 3, 3, 1, 1} {
		at := now.Add(time.Duration(n) * 24 * time.Hour)
		if got := Sync.Attempts(s, at); got != want {
			t.Errorf("after %d failures it is tried %d times, want %d", n, got, want)
		}
		s = Sync.Next(s, Failed, at, 0.5)
		if got := Sync.Attempts(s, at); n >= 2 && got != 0 {
			t.Errorf("an open circuit is tried %d times", got)
		}
	}
	if s = Sync.Next(s, Answered, now, 0.5); s != (State{}) {
		t.Errorf("after a success: %+v", s)
	}
}

// Ten syncs that fail at the same time are one failure, or they would leave the
// relay alone for hours.
func TestAFailureWhileTheRelayIsLeftAloneDoesNotCount(t *testing.T) {
	s, _ := after(Sync, 3)
	s = Sync.Next(s, Failed, s.LeftAloneUntil, 0.5)
	if again := Sync.Next(s, Failed, s.LeftAloneUntil.Add(-1), 1); again != s {
		t.Errorf("%+v became %+v", s, again)
	}
	if again := Sync.Next(s, Failed, s.LeftAloneUntil, 1); again.Failures != s.Failures+1 {
		t.Errorf("%+v became %+v when the time was over", s, again)
	}
	if again := Sync.Next(s, Refused, now, 0.5); again.Failures != 35 {
		t.Errorf("a refusal counts as %d failures", again.Failures)
	}
}

func TestWhoFailedOrWasSlowIsSuspect(t *testing.T) {
	if Sync.Suspect(State{}, time.Minute) || !Sync.Suspect(State{}, time.Minute+1) || !Sync.Suspect(State{Failures: 1}, 0) {
		t.Error("nobody else is")
	}
}

func TestWhatLastedAMinuteWasSteady(t *testing.T) {
	if Wanted.Steady(time.Minute-1) || !Wanted.Steady(time.Minute) {
		t.Error("it is not")
	}
}

func TestAStateOutlivesKV(t *testing.T) {
	for _, until := range []int64{0, 1_700_000_000} {
		if s := Stored(3, until); s.Failures != 3 || s.Unix() != until || s.LeftAlone(time.Unix(1_699_999_999, 0)) != (until > 0) {
			t.Errorf("%d: %+v", until, s)
		}
	}
}
