package bus

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

// A loop that should turn and does not is told of; one that waits for messages may.
func TestALoopThatStandsStillIsNotAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &Bus{pulses: map[string]*pulse{}}
		p := b.pulseOf("INTAKE/ingest")
		for _, c := range []struct {
			does  func()
			alive bool
		}{{func() {}, true}, {p.beat, false}, {p.rest, true}, {p.beat, false}} {
			c.does()
			if err := b.Alive(); err != nil {
				t.Error(err)
			}
			time.Sleep(stillAfter + time.Second)
			if err := b.Alive(); (err == nil) != c.alive || err != nil && !strings.Contains(err.Error(), "INTAKE/ingest") {
				t.Errorf("%v, want alive %t", err, c.alive)
			}
		}
	})
}

// A stream that answers no publisher is told of after a while, until it takes or refuses
// something.
func TestAStreamThatTakesNothingIsToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &Bus{writes: writes{since: map[string]time.Time{}, why: map[string]error{}}}
		try := func(err error) { b.writes.note("NOTE", err, time.Now()) }
		for _, silence := range []error{context.DeadlineExceeded, nats.ErrTimeout} {
			for _, answer := range []error{nil, errors.New("refused")} {
				try(silence)
				if err := b.Stalled(); err != nil {
					t.Errorf("at once: %v", err)
				}
				time.Sleep(stalledAfter + time.Second)
				try(silence)
				if err := b.Stalled(); err == nil || !strings.Contains(err.Error(), "stream NOTE has taken nothing for 1m1s") {
					t.Errorf("told %v", err)
				}
				if try(answer); b.Stalled() != nil {
					t.Errorf("after %v: %v", answer, b.Stalled())
				}
			}
		}
	})
}
