package run

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/relaymesh/relaymesh/internal/testkit/cut"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestMain(m *testing.M) {
	if os.Getenv(envRelayAddr) != "" {
		serveRelay()
		return
	}
	goleak.VerifyTestMain(m,
		// One per khatru relay, which has no way to end it.
		goleak.IgnoreAnyFunction("github.com/fiatjaf/khatru.(*expirationManager).start"),
		// One per process, of the NATS server.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// signed are notes of one author, signed once for all tests.
var signed = sync.OnceValue(func() []nostr.Event { return hometest.Notes(600) })

// cutting returns the URL of a relay behind what cuts each connection after a
// random number of bytes.
func cutting(t *testing.T, url string, seed uint64, cuts *atomic.Int64) string {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	return "ws://" + cut.TCP(t, strings.TrimPrefix(url, "ws://"), func() *cut.Budget {
		left := 3000 + random.IntN(50_000) // of what is compressed
		return cut.NewBudget(cuts, func() int { return left })
	})
}

// runs is how many seeded syncs are cut: RELAYMESH_SYNC_RUNS, or a few.
func runs(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("RELAYMESH_SYNC_RUNS"))
	if err != nil {
		n = 12
	}
	if testing.Short() {
		n = min(n, 5)
	}
	return n
}

// Real relays over real connections that are cut all the time, random sets and
// directions: afterwards the relays hold exactly what they should.
func TestSyncSurvivesCutConnections(t *testing.T) {
	t.Parallel()
	var cuts atomic.Int64
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
				a, b := hometest.Start(t, inA...), hometest.Start(t, inB...)
				throughA, throughB := cutting(t, a, random.Uint64(), &cuts), cutting(t, b, random.Uint64(), &cuts)
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
				if got := hometest.IDsAt(t, a); !slices.Equal(got, hometest.IDsOf(wantA...)) {
					t.Errorf("A has %d events, want %d", len(got), len(hometest.IDsOf(wantA...)))
				}
				if got := hometest.IDsAt(t, b); !slices.Equal(got, hometest.IDsOf(wantB...)) {
					t.Errorf("B has %d events, want %d", len(got), len(hometest.IDsOf(wantB...)))
				}
			})
		}
	})
	if cuts.Load() < int64(runs(t)) {
		t.Errorf("only %d cuts", cuts.Load())
	}
	t.Logf("%d cuts", cuts.Load())
}

// Many more differences than events that fit into a window of the queue, in
// both directions at once, without cuts: nothing waits for itself.
func TestSyncBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	all := signed()
	a, b := hometest.Start(t, all[:300]...), hometest.Start(t, all[300:]...)
	result, err := Sync{A: a, B: b, Down: true, Up: true}.Run(t.Context())
	if err != nil || !result.Complete || result.ToA != 300 || result.ToB != 300 {
		t.Errorf("%v; %+v", err, result)
	}
	if !slices.Equal(hometest.IDsAt(t, a), hometest.IDsOf(all...)) || !slices.Equal(hometest.IDsAt(t, b), hometest.IDsOf(all...)) {
		t.Error("they differ")
	}
}
