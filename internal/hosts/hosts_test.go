package hosts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatARelayIsCountedAs(t *testing.T) {
	for relay, want := range map[string]string{
		"wss://relay.example.com/user/1":      "example.com",
		"wss://a.b.c.example.co.uk:8443":      "example.co.uk",
		"WSS://X.Example.COM.":                "example.com",
		"wss://alice.nostr1.com/inbox":        "alice.nostr1.com",
		"wss://alice.github.io":               "alice.github.io",
		"ws://192.0.2.7:7777/a":               "192.0.2.7",
		"ws://[2001:db8::1]:80/":              "2001:db8::/48",
		"ws://[2001:db8::ffff:1%25eth0]/":     "2001:db8::/48",
		"ws://[2001:db8:0:1::1]/":             "2001:db8::/48",
		"ws://[::ffff:192.0.2.7]/":            "192.0.2.7",
		"ws://[64:ff9b::192.0.2.7]/":          "192.0.2.7",
		"relay.example.com:443":               "example.com",
		"[2001:db8::1]:443":                   "2001:db8::/48",
		"ws://localhost:7777":                 "localhost",
		"ws://127.0.0.1:7777/a":               "127.0.0.1:7777",
		"127.0.0.1:7777":                      "127.0.0.1:7777",
		"wss://abcdefghijklmnop.onion/x":      "abcdefghijklmnop.onion",
		"wss://xn--bcher-kva.example/b":       "xn--bcher-kva.example",
		"wss://user:pass@relay.example.com/x": "example.com",
	} {
		if got := Of(relay); got != want {
			t.Errorf("%s is counted as %s, want %s", relay, got, want)
		}
	}
	if a, b := Name("wss://Relay.example.com/x"), Name("relay.example.com:443"); a != b {
		t.Errorf("the URL is %s, what is dialled for it %s", a, b)
	}
}

func TestRelaysOfAHosterAreMany(t *testing.T) {
	seen := map[string]bool{}
	for i := range 300 {
		seen[Of(fmt.Sprintf("wss://name%d.nostr1.com", i))] = true
	}
	if len(seen) != 300 {
		t.Errorf("300 relays are counted as %d hosts", len(seen))
	}
}

func TestNetworks(t *testing.T) {
	for at, want := range map[string]string{
		"192.0.2.7": "192.0.2.0/24 8", "::ffff:192.0.2.7": "192.0.2.0/24 8", "64:ff9b::192.0.2.7": "192.0.2.0/24 8",
		"2001:db8:1:2::3": "2001:db8:1::/48 8",
		"104.16.1.1":      "104.16.1.0/24 64", "2606:4700::1": "2606:4700::/48 64", "64:ff9b::104.16.1.1": "104.16.1.0/24 64",
		"127.0.0.9": "127.0.0.9/32 8", "::1": "::1/128 8",
	} {
		network, budgets := Network(netip.MustParseAddr(at))
		if got := fmt.Sprint(network, " ", budgets); got != want {
			t.Errorf("%s is in %s, want %s", at, got, want)
		}
	}
}

// A hostile host under any number of paths and subdomains gets no more than its
// budget in four minutes, and another host nothing of the wait.
func TestAHostGetsItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Budget
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		var dials atomic.Int64
		var workers sync.WaitGroup
		for i := range 16 {
			workers.Go(func() {
				for ctx.Err() == nil {
					l, err := b.Dial(ctx, fmt.Sprintf("u%d.evil.example:443", i))
					if err != nil {
						time.Sleep(time.Second)
						continue
					}
					dials.Add(1)
					time.Sleep(100 * time.Millisecond)
					l.Release()
				}
			})
		}
		time.Sleep(2 * time.Minute)
		began := time.Now()
		l, err := b.Dial(ctx, "relay.honest.example:443")
		if err != nil || time.Since(began) > 0 {
			t.Errorf("an honest host waits for %s, %v", time.Since(began), err)
		}
		l.Release()
		workers.Wait()
		if most := int64(4*time.Minute/dialEvery) + dialBurst; dials.Load() > most || dials.Load() < most/2 {
			t.Errorf("%d dials, want at most %d", dials.Load(), most)
		}
	})
}

func TestConnectionsOfAHostAndItsNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Budget
		open := func(name string) (*Lease, error) {
			l, err := b.Dial(t.Context(), name)
			if err == nil {
				if err = l.At(t.Context(), netip.MustParseAddr("192.0.2.1")); err != nil {
					l.Release()
				}
			}
			return l, err
		}
		var held []*Lease
		for i := range MaxConns {
			l, err := open(fmt.Sprintf("r%d.evil.example:443", i))
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, l)
		}
		began := time.Now()
		if _, err := open("r9.evil.example:443"); !errors.Is(err, ErrBusy) || time.Since(began) != maxWait {
			t.Errorf("a fifth connection: %v after %s", err, time.Since(began))
		}
		if _, err := open("other.example:443"); !errors.Is(err, ErrBusy) {
			t.Errorf("another name of the same address: %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			held[0].Release()
			held[0].Release()
		}()
		began = time.Now()
		if l, err := open("r9.evil.example:443"); err != nil || time.Since(began) != time.Second {
			t.Errorf("when one has ended: %v after %s", err, time.Since(began))
		} else {
			l.Release()
		}
		// A proven relay has a budget of its own, which its network bounds.
		b.Prove("wss://relay.evil.example/path")
		for range MaxConns {
			if _, err := open("relay.evil.example:443"); err != nil {
				t.Errorf("a proven relay: %v", err)
			}
		}
	})
}

func TestAddressesAreKnockedAtWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Budget
		at, n := netip.MustParseAddr("192.0.2.1"), 0
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		for ctx.Err() == nil {
			if l, err := b.Knock(ctx, at); err == nil {
				n++
				l.Release()
			}
		}
		if most := int(4*time.Minute/dialEvery) + dialBurst; n > most || n < most/2 {
			t.Errorf("%d dials in four minutes, want %d", n, most)
		}
		began := time.Now()
		if _, err := b.Knock(t.Context(), netip.MustParseAddr("198.51.100.1")); err != nil || time.Since(began) > 0 {
			t.Errorf("another address waits for %s, %v", time.Since(began), err)
		}
	})
}

// By libp2p and by websocket a host has the connections of one.
func TestAHostHasOneBudgetForAllTransports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Budget
		at := netip.MustParseAddr("192.0.2.1")
		for range MaxConns - 1 {
			if _, err := b.Knock(t.Context(), at); err != nil {
				t.Fatal(err)
			}
		}
		for i, want := range []error{nil, ErrBusy} {
			l, err := b.Dial(t.Context(), "relay.example.com:443")
			if err == nil {
				err = l.At(t.Context(), at)
			}
			if !errors.Is(err, want) {
				t.Errorf("websocket %d: %v, want %v", i+1, err, want)
			}
		}
		if _, err := b.Knock(t.Context(), at); !errors.Is(err, ErrBusy) {
			t.Errorf("a peer beside them: %v", err)
		}
	})
}

// Three hundred names of a hoster at one address keep their connections for two
// minutes, and still none waits for longer than dials take.
func TestWhatIsIdleGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Budget
		began, ended := time.Now(), atomic.Int32{}
		for i := range 300 {
			l, err := b.Dial(t.Context(), fmt.Sprintf("name%d.nostr1.com:443", i))
			if err == nil {
				err = l.At(t.Context(), netip.MustParseAddr("192.0.2.1"))
			}
			if err != nil {
				t.Fatalf("name %d after %s: %v", i, time.Since(began), err)
			}
			opened, until := time.Now(), time.Now().Add(2*time.Minute)
			l.GiveWay(func() (time.Time, bool) { return opened, i > 0 }, func() { ended.Add(1); l.Release() })
			time.AfterFunc(time.Until(until), l.Release)
		}
		if took := time.Since(began); took > time.Minute || ended.Load() < 200 {
			t.Errorf("300 names take %s, %d connections gave way", took, ended.Load())
		}
		var longest *Lease
		b.mu.Lock()
		for _, a := range b.accounts {
			for _, l := range a.open {
				if l.key == "name0.nostr1.com" {
					longest = l
				}
			}
		}
		b.mu.Unlock()
		if longest == nil {
			t.Error("a connection that is used gave way")
		}
		time.Sleep(3 * time.Minute)
		b.mu.Lock()
		defer b.mu.Unlock()
		if idle := b.accounts["192.0.2.0/24"]; len(idle.open) > 0 {
			t.Errorf("%d connections are still counted", len(idle.open))
		}
	})
}

// A name with two addresses in one network counts once there when one of them has
// answered.
func TestAddressesThatWereTriedInVainCostNothing(t *testing.T) {
	var b Budget
	l, err := b.Dial(t.Context(), "relay.example.com:443")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"192.0.2.1", "192.0.2.2"} {
		if err := l.At(t.Context(), netip.MustParseAddr(at)); err != nil {
			t.Fatal(err)
		}
	}
	l.Connected(netip.MustParseAddr("192.0.2.2"))
	for key, want := range map[string]int{"example.com": 1, "192.0.2.0/24": 1, "192.0.2.1": 0, "192.0.2.2": 1} {
		if got := len(b.accounts[key].open); got != want {
			t.Errorf("%s has %d connections, want %d", key, got, want)
		}
	}
}

// busyHosts fill all that strangers may take, with jobs that never end by themselves.
func fill(t *testing.T, s *Slots, hosts, jobs int) {
	t.Helper()
	for h := range hosts {
		for range jobs {
			go func() {
				release, err := s.Acquire(t.Context(), fmt.Sprint("evil", h), false)
				if err == nil {
					time.Sleep(10 * time.Second)
					release()
				}
			}()
		}
	}
	synctest.Wait()
}

// taken returns the slots that are taken, those of them by strangers, the jobs of
// strangers that wait, and how much of anything is kept.
func (s *Slots) taken() (running, others, waiting, kept int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running, s.others, s.waiting, s.running + s.others + s.waiting + len(s.hosts) + len(s.turns) + len(s.proven)
}

func TestStrangersLeaveAQuarterOfTheSlotsAndTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Slots{Size: 16}
		fill(t, s, 1, 600)
		if _, others, waiting, _ := s.taken(); others != perHost || waiting != perHostWaiting {
			t.Errorf("one host has %d slots, %d jobs wait", others, waiting)
		}
		began := time.Now()
		release, err := s.Acquire(t.Context(), "honest", false)
		if err != nil || time.Since(began) != 0 {
			t.Errorf("another host waits for %s, %v", time.Since(began), err)
		}
		release()
		fill(t, s, 20, 30)
		if _, others, waiting, _ := s.taken(); others != 12 || waiting != maxQueued {
			t.Errorf("strangers have %d slots, %d jobs wait", others, waiting)
		}
		if release, err = s.Acquire(t.Context(), "proven", true); err != nil || time.Since(began) != 0 {
			t.Errorf("a proven relay waits for %s, %v", time.Since(began), err)
		}
		release()
		// 21 hosts take turns at 12 slots of 10 s.
		if release, err = s.Acquire(t.Context(), "honest", false); err != nil || time.Since(began) > 30*time.Second {
			t.Errorf("another host waits for %s, %v", time.Since(began), err)
		}
		release()
		time.Sleep(time.Hour)
		if running, _, _, kept := s.taken(); kept != 0 {
			t.Errorf("left over: %d running, %d kept", running, kept)
		}
	})
}

// However many hosts are known to be slow, one that is not has a slot at once, again
// and again; a slow one that has become quick is one of those, too.
func TestSlowHostsLeaveHalfOfTheStrangersSlots(t *testing.T) {
	for _, size := range []int{0, 16, 2, 1} {
		synctest.Test(t, func(t *testing.T) {
			s := &Slots{Size: size}
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			work := func(ctx context.Context, host string, takes time.Duration) time.Duration {
				began := time.Now()
				release, err := s.Acquire(ctx, host, false)
				if err == nil {
					time.Sleep(takes)
					release()
				}
				return time.Since(began) - takes
			}
			for i := range 40 {
				running.Go(func() {
					for ctx.Err() == nil {
						work(ctx, fmt.Sprint("silent", i), 10*time.Second)
					}
				})
			}
			time.Sleep(5 * time.Minute) // each has had its turn
			for i := range 20 {
				if waited := work(ctx, fmt.Sprint("honest", i%3), time.Second); waited > 0 && size != 1 && size != 2 {
					t.Errorf("%d slots: another host waits for %s", size, waited)
				}
			}
			work(ctx, "silent0", 0)
			if waited := work(ctx, "silent0", 0); waited > 0 && size != 1 && size != 2 {
				t.Errorf("%d slots: a host that has become quick waits for %s", size, waited)
			}
			stop()
			running.Wait()
			if s.slowly != 0 || s.others != 0 || s.running != 0 {
				t.Errorf("%d slots: left over: %d, %d, %d", size, s.slowly, s.others, s.running)
			}
		})
	}
}

// Slots that proven hosts leave free are anybody's; as soon as these wait, they
// get what becomes free until a quarter is left to the others.
func TestProvenHostsComeFirstAndLeaveAQuarter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Slots{Size: 16}
		fill(t, s, 30, 1)
		if running, others, _, _ := s.taken(); others != 12 || running != 12 {
			t.Errorf("strangers have %d of %d slots while nobody else waits", others, running)
		}
		for range 100 {
			go func() {
				release, err := s.Acquire(t.Context(), "proven", true)
				if err != nil {
					return
				}
				time.Sleep(10 * time.Second)
				release()
			}()
		}
		synctest.Wait()
		if running, others, _, _ := s.taken(); running != 16 || others != 12 {
			t.Errorf("strangers keep %d of %d slots until they are done", others, running)
		}
		time.Sleep(11 * time.Second)
		if running, others, _, _ := s.taken(); running != 16 || others != 4 {
			t.Errorf("strangers have %d of %d slots while proven hosts wait", others, running)
		}
		time.Sleep(time.Hour)
		if running, _, _, kept := s.taken(); kept != 0 {
			t.Errorf("left over: %d running, %d kept", running, kept)
		}
	})
}

func TestWhoGivesUpLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Slots{Size: 4}
		for _, proven := range []bool{true, false} {
			var releases []func()
			for range 4 {
				release, err := s.Acquire(t.Context(), "a", true)
				if err != nil {
					t.Fatal(err)
				}
				releases = append(releases, release)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := s.Acquire(ctx, "b", proven); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("all slots are taken: %v", err)
			}
			cancel()
			for _, release := range releases {
				release()
				release()
			}
			if _, _, _, kept := s.taken(); kept != 0 {
				t.Errorf("left over: %d", kept)
			}
		}
	})
}
