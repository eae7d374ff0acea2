package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// world is a DHT and indexes that answer at once, or as a test says.
type world struct {
	mu      sync.Mutex
	peers   map[[20]byte][]netip.AddrPort
	nobody  bool // no DHT node answers
	indexes map[string]*fakeIndex
	asked   []string
	tried   []string

	searched int // infohashes that were looked up
}

// fakeIndex is an index at a URL.
type fakeIndex struct {
	lists  []nostr.Event
	names  []string
	silent bool
	forges bool
	no     bool // it is something else
}

func newWorld() *world {
	return &world{peers: map[[20]byte][]netip.AddrPort{}, indexes: map[string]*fakeIndex{}}
}

func (w *world) Peers(_ context.Context, infohash [20]byte) ([]netip.AddrPort, int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.searched++
	if w.nobody {
		return nil, 0, errors.New("no DHT node answered")
	}
	return w.peers[infohash], 8, nil
}

func (w *world) Announce(_ context.Context, infohash [20]byte, port uint16) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peers[infohash] = append(w.peers[infohash], netip.AddrPortFrom(netip.MustParseAddr("8.0.0.8"), port))
	return 20, nil
}

func (w *world) index(url string) (*fakeIndex, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.indexes[url]
	if i == nil || i.no {
		return nil, errors.New("nothing listens there")
	}
	return i, nil
}

func (w *world) Describe(ctx context.Context, url string) (Statement, error) {
	w.mu.Lock()
	w.tried = append(w.tried, url)
	w.mu.Unlock()
	if _, err := w.index(url); err != nil {
		return Statement{}, err
	}
	at := netip.MustParseAddrPort(strings.TrimPrefix(url, "ws://"))
	return Statement{Event: announcement(url), Network: NetworkOf(at)}, nil
}

func announcement(url string) nostr.Event {
	e := Announcement{URL: url, Key: key(9), Kinds: []int{0, 10002}}.Event(start)
	e.ID = e.Hash()
	return e
}

func (w *world) Ask(ctx context.Context, url string, limit int, filters ...nostr.Filter) (list []nostr.Event, err error) {
	i, err := w.index(url)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if filters[0].Kinds[0] == KindAnnouncement {
		for _, name := range i.names {
			list = append(list, announcement(name))
		}
		return list, nil
	}
	w.asked = append(w.asked, url)
	if i.silent {
		w.mu.Unlock()
		<-ctx.Done()
		w.mu.Lock()
		return nil, ctx.Err()
	}
	if i.forges {
		return nil, reconcile.ErrMisbehaving
	}
	for _, e := range i.lists {
		if slices.ContainsFunc(filters, func(f nostr.Filter) bool { return f.Match(&e) }) {
			list = append(list, e)
		}
	}
	return list, nil
}

const start = 1_800_000_000

// key is a public key of the tests; events are not signed here, whoever implements the port verifies.
func key(n int) string { return fmt.Sprintf("%064x", n) }

func list(author string, at int64, content string) nostr.Event {
	e := nostr.Event{Kind: 10002, PubKey: author, CreatedAt: at, Content: content, Tags: []nostr.Tag{}}
	e.ID = e.Hash()
	return e
}

func address(network, port int) string {
	return fmt.Sprintf("ws://8.%d.%d.8:%d", network/200, network%200, port)
}

// add starts an index of a network, announced under some infohashes.
func (w *world) add(network int, i *fakeIndex, hashes ...int) string {
	url := address(network, 4848)
	w.indexes[url] = i
	for _, n := range hashes {
		hash := Infohashes(time.Unix(start, 0))[n]
		w.peers[hash] = append(w.peers[hash], netip.MustParseAddrPort(strings.TrimPrefix(url, "ws://")))
	}
	return url
}

func (w *world) resolver(t *testing.T) *Resolver {
	t.Helper()
	begun := time.Now()
	r := &Resolver{Network: w, Relays: w, Log: slog.New(slog.DiscardHandler), Now: func() time.Time {
		return time.Unix(start, 0).Add(time.Since(begun))
	}}
	if err := r.Open(); err != nil {
		t.Fatal(err)
	}
	return r
}

// resolve asks in fake time, and returns how long it took.
func resolve(t *testing.T, r *Resolver, author string) (Found, time.Duration, error) {
	t.Helper()
	begun := time.Now()
	found, err := r.Resolve(t.Context(), author, 10002)
	took := time.Since(begun)
	r.running.Wait()
	return found, took, err
}

// A machine that knows nobody finds the one index that has a list by Mainline alone; whoever is found names others, and what
// was learnt is used the next time.
func TestAFreshMachineResolves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		alice := list(key(1), start-100, "alice's")
		hidden := w.add(2, &fakeIndex{lists: []nostr.Event{alice}})
		w.add(1, &fakeIndex{names: []string{hidden}}, 3, 11)
		r := w.resolver(t)
		found, _, err := resolve(t, r, key(1))
		if err != nil || found.Lists[10002].ID != alice.ID {
			t.Fatalf("got %+v, %v", found, err)
		}
		w.nobody = true
		w.tried = nil
		if found, took, err := resolve(t, r, key(1)); err != nil || found.Lists[10002].ID != alice.ID || took > time.Second {
			t.Errorf("the second time: %+v, %v, after %v", found, err, took)
		}
		if at := slices.IndexFunc(r.Known(), func(k Known) bool { return k.URL == hidden }); at < 0 || !r.Known()[at].Proven() {
			t.Errorf("known are %+v", r.Known())
		}
	})
}

// Where every answer of the DHT is an attacker's, it is said; nothing is guessed.
func TestWhereEveryAnswerIsAnAttackers(t *testing.T) {
	for what, c := range map[string]struct {
		prepare func(w *world)
		why     string
		noIndex bool
	}{
		"no node answers":  {func(w *world) { w.nobody = true }, "no DHT node answered", true},
		"nothing is named": {func(*world) {}, "named no list index", true},
		"addresses of nobody": {func(w *world) {
			for n := range 300 {
				w.add(n, &fakeIndex{no: true}, n%16)
			}
		}, "may all be of somebody who hides the true ones", true},
		"indexes that have nothing": {func(w *world) {
			for n := range 300 {
				w.add(n, &fakeIndex{}, n%16)
			}
		}, "none of them has proved itself", false},
		"indexes that forge": {func(w *world) {
			for n := range 300 {
				w.add(n, &fakeIndex{forges: true}, n%16)
			}
		}, "", true},
		"indexes that are silent": {func(w *world) {
			for n := range 300 {
				w.add(n, &fakeIndex{silent: true}, n%16)
			}
		}, "", true},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				c.prepare(w)
				r := w.resolver(t)
				found, took, err := resolve(t, r, key(1))
				said := found.Why()
				if err != nil {
					said = err.Error()
				}
				if errors.Is(err, ErrNoIndex) != c.noIndex || !strings.Contains(said, c.why) || len(found.Lists) > 0 {
					t.Errorf("got %+v, %v", found, err)
				}
				if took > time.Minute || len(w.tried) > 2*triedOfSearch+maxKnown || len(w.asked) > 2*askedMost {
					t.Errorf("after %v, %d were tried and %d asked", took, len(w.tried), len(w.asked))
				}
			})
		})
	}
}

// A silent index delays an answer by the hedge, one that lies not at all, and both lose standing.
func TestSilentAndLyingIndexesCostLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		alice := list(key(1), start-100, "alice's")
		honest := &fakeIndex{lists: []nostr.Event{alice}}
		silent, forges := w.add(1, &fakeIndex{silent: true}, 0), w.add(2, &fakeIndex{forges: true}, 1)
		for n := range 4 {
			w.add(10+n, honest, 2+n)
		}
		r := w.resolver(t)
		r.Network = nil
		for _, url := range []string{silent, forges, address(10, 4848), address(11, 4848), address(12, 4848), address(13, 4848)} {
			if _, err := r.verify(t.Context(), url, ViaDHT); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			found, took, err := resolve(t, r, key(1))
			if err != nil || found.Lists[10002].ID != alice.ID || took > 2*hedgeAfter {
				t.Fatalf("got %+v, %v after %v", found, err, took)
			}
		}
		for _, k := range r.Known() {
			if bad := k.URL == silent || k.URL == forges; k.LeftAlone(r.Now()) != bad || k.Proven() == bad {
				t.Errorf("%s stands so: %+v", k.URL, k)
			}
			want := map[string]Standing{silent: StandingSilent, forges: StandingLied}[k.URL]
			if so := k.Standing(r.Now()); want != "" && so != want {
				t.Errorf("%s is %s, want %s", k.URL, so, want)
			}
		}
	})
}

// One network is asked once, however many addresses of it were announced, and does not hide the others.
func TestOneNetworkIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for hash := range Infohashes(time.Unix(start, 0)) {
			for host := range 250 {
				at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{9, 9, 9, byte(host)}), uint16(1024+hash))
				infohash := Infohashes(time.Unix(start, 0))[hash]
				w.peers[infohash] = append(w.peers[infohash], at)
				w.indexes["ws://"+at.String()] = &fakeIndex{}
			}
		}
		alice := list(key(1), start-100, "alice's")
		w.add(1, &fakeIndex{lists: []nostr.Event{alice}}, 5)
		found, _, err := resolve(t, w.resolver(t), key(1))
		if err != nil || found.Lists[10002].ID != alice.ID {
			t.Errorf("got %+v, %v", found, err)
		}
		flood := slices.DeleteFunc(slices.Clone(w.tried), func(url string) bool { return !strings.HasPrefix(url, "ws://9.9.9.") })
		if len(flood) > 2 {
			t.Errorf("%d of one network were tried", len(flood))
		}
	})
}

// What is known outlives a restart; what an operator named is asked without Mainline, and the own index is not.
func TestKnownIndexesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		alice := list(key(1), start-100, "alice's")
		url := w.add(1, &fakeIndex{lists: []nostr.Event{alice}})
		kept := &memory{}
		first := w.resolver(t)
		first.Network, first.Store, first.Named = nil, kept, []string{url}
		if err := first.Open(); err != nil {
			t.Fatal(err)
		}
		if found, _, err := resolve(t, first, key(1)); err != nil || found.Lists[10002].ID != alice.ID {
			t.Fatalf("got %+v, %v", found, err)
		}
		again := w.resolver(t)
		again.Network, again.Store = nil, kept
		kept.all[0].NextTry = again.Now().AddDate(1, 0, 0).Unix() // of a clock that was ahead
		if err := again.Open(); err != nil {
			t.Fatal(err)
		}
		if got := again.Known(); len(got) != 1 || !got[0].Proven() || got[0].NextTry != 0 {
			t.Errorf("after a restart are known %+v", got)
		}
		self := w.resolver(t)
		self.Network, self.Named, self.Self = nil, []string{url}, func(s Statement) bool { return s.Event.PubKey == key(9) }
		if err := self.Open(); err != nil {
			t.Fatal(err)
		}
		if found, _, err := resolve(t, self, key(1)); !errors.Is(err, ErrNoIndex) || len(w.asked) > 1 {
			t.Errorf("asked itself: %+v, %v", found, err)
		}
	})
}

// Of an index that has another key each time no announcement is kept but the first, and of one that never ends none.
func TestAnnouncementsOfAnIndexDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			change func(e *nostr.Event, n int)
			want   int
		}{
			"one key":        {func(*nostr.Event, int) {}, 5},
			"another key":    {func(e *nostr.Event, n int) { e.PubKey = key(100 + n) }, 1},
			"no expiration":  {func(e *nostr.Event, _ int) { e.Tags = slices.DeleteFunc(e.Tags, isExpiration) }, 0},
			"in a long time": {func(e *nostr.Event, _ int) { e.Tags[slices.IndexFunc(e.Tags, isExpiration)][1] = "9000000000" }, 0},
		} {
			w := newWorld()
			url := w.add(1, &fakeIndex{})
			r := w.resolver(t)
			n, told := 0, 0
			r.Relays = restated{w, func(e *nostr.Event) { c.change(e, n); n++ }}
			r.Verified = func(nostr.Event) { told++ }
			for range 5 {
				if _, err := r.verify(t.Context(), url, ViaDHT); err != nil {
					t.Fatal(name, err)
				}
			}
			if told != c.want {
				t.Errorf("%s: %d announcements are kept, want %d", name, told, c.want)
			}
		}
	})
}

func isExpiration(tag nostr.Tag) bool { return tag.At(0) == "expiration" }

// restated is a world whose indexes say something else of themselves.
type restated struct {
	*world

	change func(e *nostr.Event)
}

func (r restated) Describe(ctx context.Context, url string) (Statement, error) {
	s, err := r.world.Describe(ctx, url)
	r.change(&s.Event)
	return s, err
}

type memory struct{ all []Known }

func (m *memory) Load() ([]Known, error) { return m.all, nil }
func (m *memory) Save(all []Known) error { m.all = all; return nil }

// Indexes that begin together find few others at first: they search again within a minute, not after ten; and not every minute for
// ever, where there are none.
func TestAnIndexThatFindsFewSearchesAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r := w.resolver(t)
		defer r.Close()
		ctx, cancel := context.WithCancel(t.Context())
		pulled := make(chan string, 1)
		p := &Puller{Resolver: r, Log: r.Log, Pull: func(_ context.Context, from Known) (int, error) {
			select {
			case pulled <- from.URL:
			default:
			}
			return 0, nil
		}}
		var running sync.WaitGroup
		running.Go(func() { p.Run(ctx) })
		defer func() { cancel(); running.Wait() }()
		time.Sleep(30 * time.Second)
		url := "ws://8.0.0.1:4848"
		w.mu.Lock()
		w.indexes[url] = &fakeIndex{}
		for _, hash := range Infohashes(r.Now()) {
			w.peers[hash] = append(w.peers[hash], netip.MustParseAddrPort("8.0.0.1:4848"))
		}
		w.mu.Unlock()
		select {
		case got := <-pulled:
			if got != url {
				t.Errorf("pulled from %s", got)
			}
		case <-time.After(2 * time.Minute):
			t.Error("an index that was announced soon after is not found for two minutes")
		}
		w.mu.Lock()
		w.searched = 0
		w.mu.Unlock()
		time.Sleep(24 * time.Hour)
		w.mu.Lock()
		defer w.mu.Unlock()
		if searches := w.searched / len(Infohashes(r.Now())); searches < 100 || searches > 160 {
			t.Errorf("%d searches a day, want one in ten minutes", searches)
		}
	})
}

// One index that is silent for as long as it is allowed to does not keep the others from being pulled from every minute.
func TestASilentIndexDelaysNoPull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		silent := w.add(1, &fakeIndex{}, 0)
		honest := w.add(2, &fakeIndex{}, 1)
		r := w.resolver(t)
		defer r.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var pulls atomic.Int64
		p := &Puller{Resolver: r, Log: r.Log, Pull: func(ctx context.Context, from Known) (int, error) {
			if from.URL == silent {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			if from.URL == honest {
				pulls.Add(1)
			}
			return 0, nil
		}}
		var running sync.WaitGroup
		running.Go(func() { p.Run(ctx) })
		time.Sleep(8 * time.Minute)
		if got := pulls.Load(); got < 6 {
			t.Errorf("in eight minutes it was pulled %d times from the honest one", got)
		}
		cancel()
		running.Wait()
	})
}
