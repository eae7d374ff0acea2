package run

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// One per khatru relay, which has no way to end it.
		goleak.IgnoreAnyFunction("github.com/fiatjaf/khatru.(*expirationManager).start"),
		// One per process, of the NATS server.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// signed are notes, a minute apart, of one author; signed once for all tests.
var signed = sync.OnceValue(func() []nostr.Event {
	key, err := schnorr.NewSecret()
	if err != nil {
		panic(err)
	}
	out := make([]nostr.Event, 600)
	for i := range out {
		out[i] = nostr.Event{Kind: 1, CreatedAt: 1_700_000_000 + int64(i/3), Content: strings.Repeat("note ", i%100)}
		if err := key.SignEvent(&out[i]); err != nil {
			panic(err)
		}
	}
	return out
})

// startHome starts a real relay with these events.
func startHome(t *testing.T, list []nostr.Event) string {
	t.Helper()
	r, err := homerelay.Start(t.Context(), homerelay.Config{
		Path: filepath.Join(t.TempDir(), "relay.db"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	c, err := relay.Dial(t.Context(), r.URL(), relay.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	group, ctx := errgroup.WithContext(t.Context())
	for _, e := range list {
		group.Go(func() error { return reconcile.Write(ctx, c, e) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return r.URL()
}

// idsAt lists a relay.
func idsAt(t *testing.T, url string) (ids []string) {
	t.Helper()
	c, err := relay.Dial(t.Context(), url, relay.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for e, err := range c.Query(t.Context(), nostr.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

func idsOf(list []nostr.Event) (ids []string) {
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// cutter passes connections on to a relay, and cuts each after a random number
// of bytes.
type cutter struct {
	to string

	mu     sync.Mutex
	random *rand.Rand
	cuts   int
}

func startCutter(t *testing.T, url string, seed uint64) (cut *cutter, through string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{to: strings.TrimPrefix(url, "ws://"), random: rand.New(rand.NewPCG(seed, 1))}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { c.pass(from) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	return c, "ws://" + ln.Addr().String()
}

func (c *cutter) pass(from net.Conn) {
	to, err := net.Dial("tcp", c.to)
	if err != nil {
		from.Close()
		return
	}
	c.mu.Lock()
	left := 5000 + c.random.IntN(150_000)
	c.mu.Unlock()
	var both sync.WaitGroup
	copying := func(dst, src net.Conn) {
		defer dst.Close()
		defer src.Close()
		buf := make([]byte, 4096)
		for {
			n, err := src.Read(buf)
			c.mu.Lock()
			left -= n
			cut := left < 0
			c.mu.Unlock()
			if err != nil {
				return
			}
			if cut {
				c.mu.Lock()
				c.cuts++
				c.mu.Unlock()
				return
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	both.Go(func() { copying(to, from) })
	both.Go(func() { copying(from, to) })
	both.Wait()
}

// runs is how many seeded syncs are cut: RELAYMESH_SYNC_RUNS, or a few.
func runs(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("RELAYMESH_SYNC_RUNS"))
	if err != nil {
		n = 20
	}
	if testing.Short() {
		n = min(n, 5)
	}
	return n
}

// Real relays over real connections that are cut all the time, random sets and
// directions: afterwards the relays hold exactly what they should.
func TestSyncSurvivesCutConnections(t *testing.T) {
	cuts, mu := 0, sync.Mutex{}
	t.Run("seed", func(t *testing.T) {
		for seed := range runs(t) {
			t.Run(strconv.Itoa(seed), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(uint64(seed), 0))
				part := func(share float64) (out []nostr.Event) {
					for _, e := range signed() {
						if random.Float64() < share {
							out = append(out, e)
						}
					}
					return out
				}
				common := part(0.3)
				inA := slices.Concat(common, part(random.Float64()*0.4))
				inB := slices.Concat(common, part(random.Float64()*0.4))
				a, b := startHome(t, inA), startHome(t, inB)
				cutA, throughA := startCutter(t, a, random.Uint64())
				cutB, throughB := startCutter(t, b, random.Uint64())
				wantA, wantB := inA, inB
				job := Sync{A: throughA, B: throughB, Down: random.IntN(3) > 0, Up: random.IntN(3) > 0}
				if job.Down {
					wantA = slices.Concat(inA, inB)
				}
				if job.Up {
					wantB = slices.Concat(inA, inB)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				result, err := job.Run(ctx)
				if err != nil || !result.Complete || result.Left != 0 {
					t.Fatalf("%v; %+v", err, result)
				}
				if got := idsAt(t, a); !slices.Equal(got, idsOf(wantA)) {
					t.Errorf("A has %d events, want %d", len(got), len(idsOf(wantA)))
				}
				if got := idsAt(t, b); !slices.Equal(got, idsOf(wantB)) {
					t.Errorf("B has %d events, want %d", len(got), len(idsOf(wantB)))
				}
				mu.Lock()
				cuts += cutA.cuts + cutB.cuts
				mu.Unlock()
			})
		}
	})
	if cuts < runs(t) {
		t.Errorf("only %d cuts", cuts)
	}
	t.Logf("%d cuts", cuts)
}

// Many more differences than events that fit into a window of the queue, in
// both directions at once, without cuts: nothing waits for itself.
func TestSyncBothWaysAtOnce(t *testing.T) {
	all := signed()
	a, b := startHome(t, all[:300]), startHome(t, all[300:])
	result, err := Sync{A: a, B: b, Down: true, Up: true}.Run(t.Context())
	if err != nil || !result.Complete || result.ToA != 300 || result.ToB != 300 {
		t.Errorf("%v; %+v", err, result)
	}
	if !slices.Equal(idsAt(t, a), idsOf(all)) || !slices.Equal(idsAt(t, b), idsOf(all)) {
		t.Error("they differ")
	}
}
