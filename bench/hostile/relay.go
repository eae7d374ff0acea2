//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	addresses   = 1000
	perAddress  = 10
	oneHostile  = 10 // of so many addresses
	publishers  = 20
	eachWaits   = time.Second / 2 // between two events of a publisher
	quietFor    = 15 * time.Second
	attackedFor = time.Minute
)

// relayPart measures how long honest clients of the embedded relay wait for an
// OK, quiet and under attack.
func relayPart(ctx context.Context) error {
	relay, err := start(ctx, "serving")
	if err != nil {
		return err
	}
	defer relay.stop()
	if err := preload(ctx, relay.line); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &honest{url: relay.line, relay: relay}
	if err := h.connect(ctx); err != nil {
		return err
	}
	quiet := h.publish(ctx, quietFor)
	quietPeak := h.peak()
	fmt.Printf("quiet: %d connections, longest wait %v, %.0f MiB\n", h.open.Load(), quiet, quietPeak)

	attack, err := start(ctx, "attacking", relayURL+"="+relay.line)
	if err != nil {
		return err
	}
	attacked := h.publish(ctx, attackedFor)
	attackedPeak := h.peak()
	attack.stop()
	fmt.Printf("attacked: %d honest connections, longest wait %v, %.0f MiB\n", h.open.Load(), attacked, attackedPeak)
	goal("s an honest EVENT waits for its OK, at most", attacked.Seconds(), 1)
	goal("honest EVENTs without an OK", float64(h.failed.Load()), 0)
	goal("honest connections that were cut", float64(h.cut.Load()), 0)
	goal("MiB of memory beyond those when quiet", attackedPeak-quietPeak, 128)
	cancel()
	h.running.Wait()
	return nil
}

// preload gives the relay something to serve: 30 MB of large events.
func preload(ctx context.Context, url string) error {
	c, err := dial(ctx, url, "127.0.0.1")
	if err != nil {
		return err
	}
	defer c.close()
	for i := range 100 {
		e, err := note(int64(1_700_000_000+i), strings.Repeat("x", 300_000))
		if err != nil {
			return err
		}
		if _, err := c.publish(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// note signs a note of a new author.
func note(at int64, content string, tags ...nostr.Tag) (*nostr.Event, error) {
	key, err := schnorr.NewSecret()
	if err != nil {
		return nil, err
	}
	e := &nostr.Event{Kind: 1, CreatedAt: at, Content: content, Tags: tags}
	return e, key.SignEvent(e)
}

// honest are clients that have one live subscription each, of which some
// publish.
type honest struct {
	url     string
	relay   *process
	memory  atomic.Int64 // the most that the relay had, in MiB
	running sync.WaitGroup
	writers []*conn
	open    atomic.Int64
	cut     atomic.Int64
	failed  atomic.Int64
}

func hostileAddress(i int) bool { return i%oneHostile == 0 }

func address(i int) string { return fmt.Sprintf("127.%d.%d.%d", 10+i/200, i%200, 7) }

func (h *honest) connect(ctx context.Context) error {
	var failure atomic.Pointer[error]
	limit := make(chan struct{}, 32)
	var dialling sync.WaitGroup
	for i := range addresses {
		if hostileAddress(i) {
			continue
		}
		for j := range perAddress {
			limit <- struct{}{}
			writer := len(h.writers) < publishers && j == 0
			if writer {
				h.writers = append(h.writers, nil)
			}
			place := len(h.writers) - 1
			dialling.Go(func() {
				defer func() { <-limit }()
				c, err := dial(ctx, h.url, address(i))
				if err == nil {
					err = c.send(ctx, fmt.Sprintf(`["REQ","a",{"authors":["%064x"],"kinds":[1]}]`, i*perAddress+j))
				}
				if err != nil {
					failure.Store(&err)
					return
				}
				h.open.Add(1)
				if writer {
					h.writers[place] = c
					return
				}
				h.running.Go(func() { h.listen(ctx, c) })
			})
		}
	}
	dialling.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

// listen reads what comes until the connection ends.
func (h *honest) listen(ctx context.Context, c *conn) {
	defer c.close()
	for {
		if _, err := c.next(ctx); err != nil {
			h.open.Add(-1)
			if ctx.Err() == nil {
				h.cut.Add(1)
			}
			return
		}
	}
}

// peak returns the most memory that the relay had since the last call, in MiB.
func (h *honest) peak() float64 { return float64(h.memory.Swap(0)) }

// publish has the writers publish for a while, and returns the longest wait for
// an OK.
func (h *honest) publish(ctx context.Context, during time.Duration) time.Duration {
	var longest atomic.Int64
	var publishing sync.WaitGroup
	end := time.Now().Add(during)
	for _, c := range h.writers {
		publishing.Go(func() {
			for i := 0; time.Now().Before(end) && ctx.Err() == nil; i++ {
				e, err := note(time.Now().Unix(), "an honest note")
				var took time.Duration
				if err == nil {
					took, err = c.publish(ctx, e)
				}
				if err != nil {
					fmt.Println("an honest EVENT failed:", err)
					h.failed.Add(1)
					return
				}
				h.memory.Store(max(h.memory.Load(), int64(h.relay.memory())))
				if took.Nanoseconds() > longest.Load() {
					longest.Store(took.Nanoseconds())
				}
				time.Sleep(eachWaits)
			}
		})
	}
	publishing.Wait()
	return time.Duration(longest.Load())
}
