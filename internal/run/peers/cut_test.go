package peers

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/cut"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/hornets"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// newBudget makes every fourth cut an early one, in a handshake or the first
// words, and every fourth a late one, so that the longest message gets through.
func newBudget(seed uint64, cuts *atomic.Int64) *cut.Budget {
	random := rand.New(rand.NewPCG(seed, 1))
	return cut.NewBudget(cuts, func() int {
		return random.IntN([]int{3000, 20_000, 20_000, 300_000}[random.IntN(4)])
	})
}

// cutStream closes its connection when the budget is spent: what QUIC meets in
// place of a cut, which it would outlive by moving to another path.
type cutStream struct {
	network.Stream
	*cut.Budget
}

func (s cutStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if s.Spend(n) {
		s.Conn().Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func (s cutStream) Write(p []byte) (int, error) {
	half := len(p) / 2
	if s.Spend(len(p)) {
		n, _ := s.Stream.Write(p[:half])
		s.Conn().Close()
		return n, io.ErrClosedPipe
	}
	return s.Stream.Write(p)
}

// cutTCP returns the multiaddr that leads to a peer's through what cuts
// connections when the budget is spent.
func cutTCP(t *testing.T, addr string, b *cut.Budget) string {
	t.Helper()
	parts := strings.Split(addr, "/") // /ip4/127.0.0.1/tcp/PORT/p2p/ID
	through := cut.TCP(t, net.JoinHostPort(parts[2], parts[4]), func() *cut.Budget { return b })
	_, parts[4], _ = net.SplitHostPort(through)
	return strings.Join(parts, "/")
}

// runs is how many seeded syncs are cut: RELAYMESH_SYNC_RUNS, or a few.
func runs() int {
	if n, err := strconv.Atoi(os.Getenv("RELAYMESH_SYNC_RUNS")); err == nil {
		return n
	}
	return 8
}

// Syncs by libp2p that are cut all the time: as the initiator in a direction by
// the seed, and as the responder; by QUIC and by TCP. Afterwards both hold
// exactly what they should.
func TestSyncSurvivesCutConnections(t *testing.T) {
	t.Parallel()
	var cuts atomic.Int64
	t.Run("seed", func(t *testing.T) {
		for seed := range runs() {
			t.Run(strconv.Itoa(seed), func(t *testing.T) {
				t.Parallel()
				c := cutSync{random: rand.New(rand.NewPCG(uint64(seed), 0)), transport: []string{"udp", "tcp"}[seed%2]}
				part := func(share float64) (out []nostr.Event) {
					for _, e := range signed() {
						if c.random.Float64() < share {
							out = append(out, e)
						}
					}
					return out
				}
				common := part(0.4)
				c.inA = slices.Concat(common, part(c.random.Float64()*0.6))
				c.inB = slices.Concat(common, part(c.random.Float64()*0.6))
				c.home, c.hornets = hometest.Start(t, c.inA...), startHornets(t, c.inB)
				c.budget = newBudget(c.random.Uint64(), &cuts)
				if c.transport == "udp" {
					c.hornets.Wrap = func(s network.Stream) io.ReadWriter { return cutStream{s, c.budget} }
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				if seed%4 < 2 {
					c.lead(ctx, t)
				} else {
					c.follow(ctx, t)
				}
			})
		}
	})
	if cuts.Load() < int64(runs()) {
		t.Errorf("only %d cuts", cuts.Load())
	}
	t.Logf("%d cuts in %d syncs", cuts.Load(), runs())
}

// cutSync is one sync of a relay with a HORNETS relay.
type cutSync struct {
	random    *rand.Rand
	transport string
	inA, inB  []nostr.Event
	home      string
	hornets   *hornets.Peer
	budget    *cut.Budget
}

// lead syncs as the initiator.
func (c *cutSync) lead(ctx context.Context, t *testing.T) {
	addr := c.hornets.Addr(c.transport)
	if c.transport == "tcp" {
		addr = cutTCP(t, addr, c.budget)
	}
	wantA, wantB := hometest.IDsOf(c.inA...), hometest.IDsOf(c.inB...)
	job := run.Sync{A: c.home, B: addr, Down: c.random.IntN(3) > 0, Up: c.random.IntN(3) > 0, Libp2p: Start}
	if job.Down {
		wantA = hometest.IDsOf(slices.Concat(c.inA, c.inB)...)
	}
	if job.Up {
		wantB = hometest.IDsOf(slices.Concat(c.inA, c.inB)...)
	}
	var err error
	var result run.SyncResult
	for ctx.Err() == nil { // as the stage does, whose messages come back
		if result, err = job.Run(ctx); err == nil {
			break
		}
		t.Log(err)
	}
	if err != nil || !result.Complete || result.Left != 0 {
		t.Fatalf("%v; %+v", err, result)
	}
	if got := hometest.IDsAt(t, c.home); !slices.Equal(got, wantA) {
		t.Errorf("the relay holds %d events, want %d", len(got), len(wantA))
	}
	if got := c.hornets.IDs(); !slices.Equal(got, wantB) {
		t.Errorf("the HORNETS relay holds %d events, want %d", len(got), len(wantB))
	}
}

// follow has the HORNETS relay sync with us until both hold the same. It takes
// every end for a success, so it does not know when.
func (c *cutSync) follow(ctx context.Context, t *testing.T) {
	w := attach(t, c.home, nil)
	addr := w.addr(c.transport)
	if c.transport == "tcp" {
		addr = cutTCP(t, addr, c.budget)
	}
	want, why := hometest.IDsOf(slices.Concat(c.inA, c.inB)...), error(nil)
	for !slices.Equal(hometest.IDsAt(t, c.home), want) || !slices.Equal(c.hornets.IDs(), want) {
		if ctx.Err() != nil {
			t.Fatal(fmt.Errorf("the relay holds %d events and the HORNETS relay %d, want %d; %w", len(hometest.IDsAt(t, c.home)),
				len(c.hornets.IDs()), len(want), why))
		}
		why = c.hornets.Sync(ctx, addr, nostr.Filter{})
	}
}
