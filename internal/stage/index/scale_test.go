package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// crowd is Mainline with many indexes, each of which alone holds the lists of some authors at first. What they hold is a bit for
// each author.
type crowd struct {
	mu    sync.Mutex
	holds map[string][]uint64 // by URL
	bad   map[string]bool     // lies or is silent
	peers map[[20]byte][]netip.AddrPort
	all   []uint64 // what honest ones hold together
	asks  int
}

// A fifth of what make bench-index measures tells as much, but for the figures.
var crowdIndexes, crowdAuthors, crowdAsked = 20, 2_000, 200

func init() {
	if os.Getenv("BENCH_INDEX") != "" {
		crowdIndexes, crowdAuthors, crowdAsked = 100, 10_000, 1000
	}
}

// newCrowd announces the indexes and, of one address, every port that fills the rotating infohashes before they do.
func newCrowd(hostile int) *crowd {
	c := &crowd{
		holds: map[string][]uint64{}, bad: map[string]bool{}, peers: map[[20]byte][]netip.AddrPort{}, all: make([]uint64, crowdAuthors/64+1),
	}
	hashes := Infohashes(time.Unix(start, 0))
	for i := range crowdIndexes {
		url := address(i, 4848)
		c.holds[url], c.bad[url] = make([]uint64, crowdAuthors/64+1), i < hostile
		for n := i; n < crowdAuthors; n += crowdIndexes {
			c.holds[url][n/64] |= 1 << (n % 64)
			if i >= hostile {
				c.all[n/64] |= 1 << (n % 64)
			}
		}
		for _, hash := range hashes[:fixedHashes] {
			c.peers[hash] = append(c.peers[hash], netip.MustParseAddrPort(strings.TrimPrefix(url, "ws://")))
		}
	}
	for _, hash := range hashes[fixedHashes:] {
		c.peers[hash] = []netip.AddrPort{netip.MustParseAddrPort("9.9.9.9:4848")} // of all its ports one counts
	}
	for _, hash := range hashes[:2] { // hostile nodes near some infohashes name addresses of nobody
		c.peers[hash] = nil
		for i := range maxFlood {
			c.peers[hash] = append(c.peers[hash], netip.AddrPortFrom(netip.AddrFrom4([4]byte{7, byte(i), 7, 7}), 4848))
		}
	}
	return c
}

const maxFlood = 100

func (c *crowd) Peers(_ context.Context, infohash [20]byte) ([]netip.AddrPort, int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peers[infohash], 8, nil
}

func (c *crowd) Announce(context.Context, [20]byte, uint16) (int, error) { return 20, nil }

func (c *crowd) Describe(_ context.Context, url string) (Statement, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holds[url] == nil {
		return Statement{}, errors.New("nothing listens there")
	}
	return Statement{Event: announcement(url), Network: NetworkOf(netip.MustParseAddrPort(strings.TrimPrefix(url, "ws://")))}, nil
}

func (c *crowd) Ask(ctx context.Context, url string, _ int, filters ...nostr.Filter) (list []nostr.Event, err error) {
	if filters[0].Kinds[0] == KindAnnouncement {
		for i := range maxNamed { // some of all
			list = append(list, announcement(address((i*7+len(url))%crowdIndexes, 4848)))
		}
		return list, nil
	}
	c.mu.Lock()
	c.asks++
	n := 0
	_, _ = fmt.Sscanf(filters[0].Authors[0], "%x", &n)
	has := c.holds[url][n/64]&(1<<(n%64)) != 0
	c.mu.Unlock()
	switch {
	case c.bad[url] && len(url)%2 == 0:
		return nil, reconcile.ErrMisbehaving
	case c.bad[url]:
		<-ctx.Done()
		return nil, ctx.Err()
	case has:
		return []nostr.Event{list10002(n)}, nil
	}
	return nil, nil
}

func list10002(n int) nostr.Event { return list(key(n), start-100, "") }

// pull takes over what an honest index has.
func (c *crowd) pull(to, from string) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bad[from] {
		return 0, errors.New("it does not answer")
	}
	got := 0
	for i, bits := range c.holds[from] {
		if c.holds[to][i]|bits != c.holds[to][i] {
			got++
		}
		c.holds[to][i] |= bits
	}
	return got, nil
}

// complete counts the indexes that hold every list that an honest one had.
func (c *crowd) complete() (count int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for url, bits := range c.holds {
		all := !c.bad[url]
		for i := range c.all {
			all = all && bits[i]&c.all[i] == c.all[i]
		}
		if all {
			count++
		}
	}
	return count
}

func (c *crowd) resolver(t *testing.T) *Resolver {
	t.Helper()
	begun := time.Now()
	r := &Resolver{Network: c, Relays: c, Log: slog.New(slog.DiscardHandler), Now: func() time.Time {
		return time.Unix(start, 0).Add(time.Since(begun))
	}}
	if err := r.Open(); err != nil {
		t.Fatal(err)
	}
	return r
}

// puller fills an index until ctx ends.
func (c *crowd) puller(t *testing.T, ctx context.Context, url string) (run func()) { //nolint:revive // a testing.T comes first
	t.Helper()
	r := c.resolver(t)
	p := &Puller{Resolver: r, Log: r.Log, Pull: func(_ context.Context, from Known) (int, error) { return c.pull(url, from.URL) }}
	return func() { p.Run(ctx); r.Close() }
}

// Those who know enough others find an index that begins after them, which nobody names yet, and have what it alone has.
func TestAnIndexThatBeginsLaterIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(0)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for url := range c.holds {
			running.Go(c.puller(t, ctx, url))
		}
		time.Sleep(10 * time.Minute)
		before := c.complete()
		c.mu.Lock()
		url, n := address(crowdIndexes, 4848), crowdAuthors
		c.holds[url] = make([]uint64, len(c.all))
		c.holds[url][n/64] |= 1 << (n % 64)
		c.all[n/64] |= 1 << (n % 64)
		for _, hash := range Infohashes(time.Unix(start, 0))[:fixedHashes] {
			c.peers[hash] = append(c.peers[hash], netip.MustParseAddrPort(strings.TrimPrefix(url, "ws://")))
		}
		c.mu.Unlock()
		running.Go(c.puller(t, ctx, url))
		time.Sleep(30 * time.Minute)
		if got := c.complete(); before != crowdIndexes || got != crowdIndexes+1 {
			t.Errorf("%d hold all lists before, %d of %d the newcomer's, too", before, got, crowdIndexes+1)
		}
		cancel()
		running.Wait()
	})
}

// Many indexes hold each other's lists within ten minutes, and resolving finds what honest ones have, although a fifth of the
// indexes lie or are silent, hostile nodes flood some infohashes, and one address has filled those of the week.
func TestManyIndexes(t *testing.T) {
	for _, hostile := range []int{0, crowdIndexes / 5} {
		t.Run(fmt.Sprintf("%d hostile", hostile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(hostile)
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				for url := range c.holds {
					if !c.bad[url] {
						running.Go(c.puller(t, ctx, url))
					}
				}
				begun := time.Now()
				for c.complete() < crowdIndexes-hostile && time.Since(begun) < 10*time.Minute {
					time.Sleep(10 * time.Second)
				}
				filled := time.Since(begun)
				if got := c.complete(); got < crowdIndexes-hostile {
					t.Errorf("after ten minutes %d indexes hold all lists", got)
				}
				cancel()
				running.Wait()
				c.asks = 0
				found, asked, r := 0, crowdAsked, c.resolver(t)
				var slowest time.Duration
				for i := range asked {
					n := rand.IntN(crowdAuthors)
					for c.bad[address(n%crowdIndexes, 4848)] {
						n = rand.IntN(crowdAuthors)
					}
					if i%50 == 0 { // a machine that knows nobody
						r.Close()
						r = c.resolver(t)
					}
					at := time.Now()
					got, err := r.Resolve(t.Context(), key(n), 10002)
					if err == nil && got.Lists[10002].ID == list10002(n).ID {
						found++
					}
					slowest = max(slowest, time.Since(at))
				}
				r.Close()
				t.Logf("%d indexes, %d authors: filled after %v (goal: 10m); found %d of %d (goal: 99.9 %%, hostile 99 %%) with %.1f questions each, "+
					"the slowest after %v", crowdIndexes, crowdAuthors, filled, found, asked, float64(c.asks)/float64(asked), slowest)
				if hostile == 0 && found < asked*999/1000 || found < asked*99/100 {
					t.Errorf("found %d of %d", found, asked)
				}
			})
		})
	}
}
