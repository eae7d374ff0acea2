package peers

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/p2p"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A relay and a HORNETS relay, which is just a side of the bridge: all
// directions, both transports.
func TestSyncWithHornets(t *testing.T) {
	t.Parallel()
	all := signed()
	for _, transport := range []string{"udp", "tcp"} {
		for name, dir := range map[string]struct{ down, up bool }{"none": {}, "down": {down: true}, "up": {up: true}, "both": {true, true}} {
			if transport == "tcp" && name != "both" {
				continue // there is no difference above the streams
			}
			t.Run(transport+" "+name, func(t *testing.T) {
				t.Parallel()
				inA, inB := all[:200], all[100:]
				home, hornets := hometest.Start(t, inA...), startHornets(t, inB)
				result, err := run.Sync{A: home, B: hornets.Addr(transport), Down: dir.down, Up: dir.up, Libp2p: Start}.Run(t.Context())
				if err != nil || !result.Complete || result.OnlyA != 100 || result.OnlyB != 100 {
					t.Fatalf("%v; %+v", err, result)
				}
				wantA, wantB := hometest.IDsOf(inA...), hometest.IDsOf(inB...)
				if dir.down {
					wantA = hometest.IDsOf(all...)
				}
				if dir.up {
					wantB = hometest.IDsOf(all...)
				}
				if !slices.Equal(hometest.IDsAt(t, home), wantA) || !slices.Equal(hornets.IDs(), wantB) {
					t.Errorf("the relay holds %d events, the HORNETS relay %d", len(hometest.IDsAt(t, home)), len(hornets.IDs()))
				}
			})
		}
	}
}

// A HORNETS relay that comes to us is answered from our relay. Ingest sees what
// it brings, and our rules hold.
func TestHornetsSyncsWithOurRelay(t *testing.T) {
	t.Parallel()
	all := signed()
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	deleted := note(key, nostr.Event{Kind: 1, CreatedAt: 1_700_000_500, Content: "deleted"})
	protected := note(key, nostr.Event{Kind: 1, CreatedAt: 1_700_000_501, Tags: []nostr.Tag{{"-"}}})
	private := note(key, nostr.Event{Kind: 1059, CreatedAt: 1_700_000_502})
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			home := hometest.Start(t, append(slices.Clone(all[:200]), private)...)
			hornets := startHornets(t, append(slices.Clone(all[100:]), deleted, protected))
			w := attach(t, home, nil)
			w.deleted[deleted.ID] = true
			if err := hornets.Sync(t.Context(), w.addr(transport), nostr.Filter{}); err != nil {
				t.Fatal(err)
			}
			if got, want := hometest.IDsAt(t, home), hometest.IDsOf(all...); !slices.Equal(got, want) {
				t.Errorf("our relay holds %d events, want %d", len(got), len(want))
			}
			if got, want := hornets.IDs(), hometest.IDsOf(append(slices.Clone(all), deleted, protected)...); !slices.Equal(got, want) {
				t.Errorf("the HORNETS relay holds %d events, want %d", len(got), len(want))
			}
			if n := len(w.received); n != 100 {
				t.Errorf("ingest was given %d events, want 100", n)
			}
		})
	}
}

// The key by which the stages are shown more than strangers are shows nothing more to
// a peer, not even ids; what a peer brings is written all the same.
func TestAPeerIsShownWhatStrangersAre(t *testing.T) {
	t.Parallel()
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "nsec")
	if err := os.WriteFile(secret, []byte(key.Hex()), 0o600); err != nil {
		t.Fatal(err)
	}
	all := signed()
	private := note(key, nostr.Event{Kind: 1059, CreatedAt: 1_700_000_502})
	home, other := hometest.Start(t, all[0], private), hometest.Start(t, all[1])
	w := attachAs(t, config.Config{Relay: home, NsecFile: secret}, nil)
	result, err := run.Sync{
		A: other, B: w.addr("udp"), Filter: nostr.Filter{Kinds: []int{1, 1059}}, Down: true, Up: true, Libp2p: Start,
	}.Run(t.Context())
	if err != nil || result.OnlyB != 1 || result.ToA != 1 || result.ToB != 1 {
		t.Errorf("%v; %+v", err, result)
	}
}

// Two of relaymesh, one of which listens.
func TestSyncWithOurselves(t *testing.T) {
	t.Parallel()
	all := signed()
	home, other := hometest.Start(t, all[:200]...), hometest.Start(t, all[100:]...)
	w := attach(t, other, nil)
	result, err := run.Sync{A: home, B: w.addr("udp"), Down: true, Up: true, Libp2p: Start}.Run(t.Context())
	if err != nil || !result.Complete || result.Left != 0 {
		t.Fatalf("%v; %+v", err, result)
	}
	if !slices.Equal(hometest.IDsAt(t, home), hometest.IDsOf(all...)) || !slices.Equal(hometest.IDsAt(t, other), hometest.IDsOf(all...)) {
		t.Error("they differ")
	}
}

// syncBy syncs a stage's relay with another one as the stage does.
func syncBy(t *testing.T, w *world, url string) reconcile.Result {
	t.Helper()
	r, err := reconcile.Sync(t.Context(), reconcile.Side{Relay: w.relay(t, w.stage.Local), Name: "home"},
		reconcile.Side{Relay: w.relay(t, url), Name: url},
		nostr.Filter{Kinds: []int{1}}, reconcile.Options{Direction: reconcile.Both})
	if err != nil || !r.Complete {
		t.Fatalf("%v; %+v", err, r)
	}
	return r
}

// The stage chooses: NIP-77 where it is spoken, then libp2p, then pages.
func TestChoiceOfTransport(t *testing.T) {
	t.Parallel()
	all := signed()
	for name, c := range map[string]struct {
		nips          []int
		speaks77      bool
		hornets, dead bool
		byPeer        bool
	}{
		"NIP-77 and libp2p":        {nips: []int{77}, speaks77: true, hornets: true},
		"a lie about NIP-77":       {nips: []int{77}, hornets: true, byPeer: true},
		"libp2p only":              {hornets: true, byPeer: true},
		"libp2p that is not there": {hornets: true, dead: true},
		"a lie, and none there":    {nips: []int{77}, hornets: true, dead: true},
		"neither":                  {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := hometest.Start(t, all[:100]...)
			hornets := startHornets(t, all[50:150])
			url := startPlain(t, all[50:150], c.speaks77)
			doc := contract.Relay{URL: url, NIPs: c.nips}
			if c.hornets {
				doc.Hornets = extension(t, hornets)
			}
			if c.dead {
				hornets.Close()
			}
			w := attach(t, home, store{nostr.RelayKey(url): doc})
			syncBy(t, w, url)
			if !slices.Equal(hometest.IDsAt(t, home), hometest.IDsOf(all[:150]...)) {
				t.Errorf("we hold %d events", len(hometest.IDsAt(t, home)))
			}
			want := 0
			if c.byPeer {
				want = 50
			}
			if got := hornets.Stored(); got != want {
				t.Errorf("%d events went by libp2p, want %d", got, want)
			}
		})
	}
}

// limited says what it gives.
type limited struct{ reconcile.Relay }

func (limited) Limits(context.Context) reconcile.Limits {
	return reconcile.Limits{Accepts: 60_000, Answers: 60_000, Page: 300}
}

// What is sent to a relay fits libp2p, and its websocket gives as much at once as its
// document says.
func TestLimitsOfBothWays(t *testing.T) {
	t.Parallel()
	w := attach(t, hometest.Start(t), store{})
	got := w.node.Via(limited{}, contract.Relay{}).Limits(t.Context())
	if want := (reconcile.Limits{Accepts: p2p.FrameLimit, Answers: p2p.FrameLimit, Page: 300}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A relay that was not reached by libp2p is asked over its websocket, also when it may
// be tried again by libp2p; and once it is reached, all is well.
func TestAPeerThatWasNeverReachedIsNotTalkedTo(t *testing.T) {
	t.Parallel()
	hornets := startHornets(t, signed()[:10])
	const url = "ws://127.0.0.1:1"
	doc := contract.Relay{URL: url, Hornets: extension(t, hornets)}
	w := attach(t, hometest.Start(t), store{nostr.RelayKey(url): doc})
	n := w.node
	talked := func() bool {
		e := n.acquire(doc, false)
		if e != nil {
			n.release(e, false)
		}
		return e != nil
	}
	n.release(n.acquire(doc, true), true)
	if talked() {
		t.Error("it is talked to right after it was not reached")
	}
	n.mu.Lock()
	n.peers[url].health.LeftAloneUntil = time.Now()
	n.mu.Unlock()
	if talked() {
		t.Error("it is talked to after its wait, although it was never reached")
	}
	set := negentropy.NewReconciler(negentropy.NewVector(nil), negentropy.Options{})
	session, _, err := w.relay(t, url).Open(t.Context(), nostr.Filter{}, set.Initiate())
	if err != nil {
		t.Fatal(err)
	}
	session.Close()
	if !talked() {
		t.Error("it is not talked to once it was reached")
	}
}

// A relay is not hung up on while a session with it is open, however long ago
// it was opened.
func TestOpenSessionsAreNotSwept(t *testing.T) {
	t.Parallel()
	hornets := startHornets(t, signed()[:10])
	const url = "ws://127.0.0.1:1"
	w := attach(t, hometest.Start(t), store{nostr.RelayKey(url): {URL: url, Hornets: extension(t, hornets)}})
	set := negentropy.NewReconciler(negentropy.NewVector(nil), negentropy.Options{})
	session, _, err := w.relay(t, url).Open(t.Context(), nostr.Filter{}, set.Initiate())
	if err != nil {
		t.Fatal(err)
	}
	r := w.node
	late := func() (kept bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.peers[url].last = time.Now().Add(-2 * idleTime)
		r.sweep()
		return r.peers[url] != nil
	}
	// A write in the midst of the session does not end its use either.
	if reply, err := w.relay(t, url).Publish(t.Context(), signed()[20]); err != nil || !reply.Kept() || !late() {
		t.Fatalf("the relay was hung up on, %v", err)
	}
	if _, err := session.Exchange(t.Context(), set.Initiate()); err != nil {
		t.Error(err)
	}
	session.Close()
	session.Close()
	if n := r.peers[url].using; n != 0 || late() {
		t.Errorf("the relay is used %d times by nobody", n)
	}
}

// A relay that --only leaves out is not reached by libp2p either.
func TestOnlyHoldsForPeers(t *testing.T) {
	t.Parallel()
	hornets := startHornets(t, signed()[:10])
	const url = "ws://127.0.0.1:1"
	w := attach(t, hometest.Start(t), store{nostr.RelayKey(url): {URL: url, Hornets: extension(t, hornets)}}, "ws://127.0.0.1:2")
	if _, err := w.stage.Net.At(t.Context(), url); err == nil {
		t.Error("it may be talked to")
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "p2p", "key")
	log := slog.New(slog.DiscardHandler)
	if key, err := readKey(config.P2P{KeyFile: path}, log); err != nil || key != "" {
		t.Errorf("made the key %.4q, %v, although nothing listens", key, err)
	}
	listens := config.P2P{Listen: "0.0.0.0:1", KeyFile: path}
	first, err := readKey(listens, log)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info, err)
	}
	if again, err := readKey(config.P2P{KeyFile: path}, log); err != nil || again != first {
		t.Errorf("read again: %v", err)
	}
	// Torn by a loss of power: a new one is made where one is needed.
	for _, text := range []string{"", "\n", strings.Repeat("\x00", 65)} {
		for _, c := range []config.P2P{{KeyFile: path}, listens} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			key, err := readKey(c, log)
			if err != nil || (key == "") != (c.Listen == "") {
				t.Errorf("from %q, listening %t: %v", text, c.Listen != "", err)
			}
			if again, err := readKey(c, log); err != nil || again != key {
				t.Errorf("from %q: not the same again, %v", text, err)
			}
		}
	}
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readKey(config.P2P{KeyFile: path}, log); err == nil || !strings.Contains(err.Error(), "--p2p-key-file") {
		t.Errorf("a file without a key: %v", err)
	}
	if _, err := readKey(config.P2P{Listen: "0.0.0.0:1"}, log); err == nil || !strings.Contains(err.Error(), "--p2p-key-file") {
		t.Errorf("a listener without a key file: %v", err)
	}
	if key, err := readKey(config.P2P{}, log); key != "" || err != nil {
		t.Errorf("no file: %q, %v", key, err)
	}
}
