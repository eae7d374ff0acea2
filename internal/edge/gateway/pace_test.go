package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestPaceWaitsInALongRunOfSmallReadsOnly(t *testing.T) {
	const quick = 50 * time.Microsecond
	for name, tc := range map[string]struct {
		after time.Duration // of each read
		more  bool
		ends  int // every so many reads; 0 is never
		waits bool
	}{
		"one by one":                        {after: quick, waits: true},
		"live":                              {after: time.Millisecond},
		"answers that end soon":             {after: quick, ends: manyReads},
		"more than a read takes":            {after: quick, more: true},
		"ends that are further apart":       {after: quick, ends: manyReads + 2, waits: true},
		"as soon after the other as counts": {after: soonAfter, waits: true},
	} {
		var p pace
		now, waited := time.Unix(1, 0), false
		for i := range 10 * manyReads {
			if tc.ends > 0 && i%tc.ends == 0 {
				p.end()
			}
			wait := p.wait(now, tc.more)
			waited = waited || wait > 0
			now = now.Add(wait + tc.after)
		}
		if waited != tc.waits {
			t.Errorf("%s: waits: %t, want %t", name, waited, tc.waits)
		}
	}
}

// What a relay sends in one long run gathers, and all of it passes in its order; short
// answers are not held.
func TestALongAnswerGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, down := net.Pipe()
		relay, up := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		g := &Gateway{
			ctx: ctx, metrics: newMetrics(nil, func() int { return 0 }), held: newLedger(heldInAll, heldOfAddress), patience: defaultPatience,
		}
		c := &conn{gateway: g, ctx: ctx, cancel: cancel, held: account{ledger: g.held}}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.serve(end{Conn: down}, end{Conn: up}, false)
		}()
		answer := func(events int) time.Duration {
			t.Helper()
			begun := time.Now()
			go func() {
				for i := range events {
					text := fmt.Sprintf(`["EVENT","x",{"n":%d}]`, i)
					_, _ = relay.Write(append(appendHeader(nil, header{first: bitFin | opText, length: int64(len(text))}), text...))
				}
				_, _ = relay.Write(append([]byte{bitFin | opText, 12}, `["EOSE","x"]`...))
			}()
			for i := range events + 1 {
				want := fmt.Sprintf(`["EVENT","x",{"n":%d}]`, i)
				if i == events {
					want = `["EOSE","x"]`
				}
				got := make([]byte, 2+len(want))
				if _, err := io.ReadFull(client, got); err != nil || string(got[2:]) != want {
					t.Fatalf("message %d is %q, %v, want %s", i, got, err, want)
				}
			}
			return time.Since(begun)
		}
		if took := answer(manyReads - 1); took != 0 {
			t.Errorf("a short answer is held for %s", took)
		}
		if took := answer(100); took == 0 || took > 100*gathering {
			t.Errorf("100 events one by one gather for %s in all", took)
		}
		if took := answer(manyReads - 1); took != 0 {
			t.Errorf("a short answer after a long one is held for %s", took)
		}
		client.Close()
		relay.Close()
		<-ended
	})
}
