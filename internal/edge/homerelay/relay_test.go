package homerelay

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/relay"
	port "github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func dial(t *testing.T, r *Relay) *relay.Conn {
	t.Helper()
	c, err := relay.Dial(t.Context(), r.URL(), relay.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func mustPublish(t *testing.T, c *relay.Conn, e *nostr.Event) {
	t.Helper()
	if err := port.Write(t.Context(), c, *e); err != nil {
		t.Errorf("publish kind %d: %v", e.Kind, err)
	}
}

func queryIDs(t *testing.T, c *relay.Conn, filters ...nostr.Filter) []string {
	t.Helper()
	var ids []string
	for e, err := range c.Query(t.Context(), filters...) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return sorted(ids)
}

func sorted(ids []string) []string { slices.Sort(ids); return ids }

func TestLiveSubscription(t *testing.T) {
	r := startRelay(t, "")
	c, author := dial(t, r), newSigner(t)
	now := time.Now().Unix()
	all := []*nostr.Event{
		author.event(1, now, "before"), author.event(1, now, "stored"), author.event(20001, now, "passing"),
		newSigner(t).event(1, now, "other's"),
	}
	mustPublish(t, c, all[0])
	// The first filter alone matches the last event; both match the second,
	// which must come once.
	filters := []nostr.Filter{{Kinds: []int{1, 20001}}, {Authors: []string{author.pubkey()}, Kinds: []int{1}}}
	var got []string
	for u, err := range c.Subscribe(t.Context(), filters...) {
		if err != nil {
			t.Fatal(err)
		}
		if u.EOSE {
			mustPublish(t, c, all[1])
			mustPublish(t, c, all[2])
			mustPublish(t, c, all[3])
		} else if got = append(got, u.Event.ID); len(got) == 5 {
			break
		}
	}
	// A stored event is found by each filter that it matches. Ephemeral ones
	// do not wait for others.
	if want := sorted([]string{all[0].ID, all[0].ID, all[1].ID, all[2].ID, all[3].ID}); !slices.Equal(sorted(got), want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := queryIDs(t, c, nostr.Filter{}); len(got) != 3 {
		t.Errorf("%d events are stored, want the three that are not ephemeral", len(got))
	}
}

// Subscriptions come and go while events are published: each one that is open
// the whole time gets every event.
func TestLiveUnderChange(t *testing.T) {
	r := startRelay(t, "")
	c, author := dial(t, r), newSigner(t)
	other := dial(t, r)
	const n = 60
	var all []*nostr.Event
	for i := range n {
		all = append(all, author.event(1, int64(1000+i), ""))
	}
	stop := make(chan struct{})
	var churn sync.WaitGroup
	churn.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, err := range other.Subscribe(t.Context(), nostr.Filter{Kinds: []int{1}}) {
				if err != nil {
					t.Errorf("churn: %v", err)
				}
				break
			}
		}
	})
	got := map[string]bool{}
	var publishing sync.WaitGroup
	for u, err := range c.Subscribe(t.Context(), nostr.Filter{Kinds: []int{1}}) {
		if err != nil {
			t.Fatal(err)
		}
		if u.EOSE {
			for _, e := range all {
				publishing.Go(func() { mustPublish(t, c, e) })
			}
			continue
		}
		if got[u.Event.ID] = true; len(got) == n {
			break
		}
	}
	publishing.Wait()
	close(stop)
	churn.Wait()
}

// A client that does not read is disconnected, by the number of events or by
// their size, and holds up nobody.
func TestSlowClientIsCut(t *testing.T) {
	// More than the feed and the connection's buffers hold.
	for name, load := range map[string]struct{ events, size int }{
		"many":  {feedLength + 50_000, 10},
		"large": {feedBytes/100_000 + 200, 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			r := startRelay(t, "")
			c := dialRaw(t, r.URL())
			c.send(`["REQ","a",{"kinds":[20001]}]`)
			c.expect("EOSE", "a")
			e := newSigner(t).event(20_001, 1000, strings.Repeat("x", load.size)) // nowhere else when it is gone
			for range load.events {
				r.clients.publish(e)
			}
			got, err := 0, error(nil)
			for ; err == nil; got++ {
				_, _, err = c.ws.Read(c.ctx)
			}
			if c.ctx.Err() != nil || got > load.events {
				t.Errorf("after %d of %d events: %v", got-1, load.events, err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	r := startRelay(t, "")
	c, author := dial(t, r), newSigner(t)
	now := time.Now().Unix()
	forged := author.event(1, now, "text")
	forged.Content = "other text"
	list := author.event(10002, now, "")
	mustPublish(t, c, list)
	for want, e := range map[string]*nostr.Event{
		"invalid: id":                  forged,
		"invalid: created_at":          author.event(1, now+3600, "from the future"),
		"invalid: tags[0]: empty tag":  author.event(1, now, "", nostr.Tag{}),
		"invalid: the event has exp":   author.event(1, now, "", nostr.Tag{"expiration", "10"}),
		"replaced: a newer version is": author.event(10002, now-1, ""),
	} {
		if reply, err := c.Publish(t.Context(), *e); err != nil || reply.Kept() || !strings.HasPrefix(reply.Reason.Text, want) {
			t.Errorf("want %q, got %+v, %v", want, reply, err)
		}
	}
	// A duplicate is no failure, and a stranger's deletion does not hurt.
	mustPublish(t, c, list)
	kept := author.event(1, now, "to be kept")
	stranger := newSigner(t).event(5, now, "", nostr.Tag{"e", kept.ID}, nostr.Tag{"e", list.ID})
	mustPublish(t, c, stranger)
	mustPublish(t, c, kept)
	if got := queryIDs(t, c, nostr.Filter{}); !slices.Equal(got, sorted([]string{list.ID, kept.ID, stranger.ID})) {
		t.Errorf("stored: %v", got)
	}
	// What no single-letter tag index can answer, and what the relay refuses.
	if got := queryIDs(t, c, nostr.Filter{Tags: map[string][]string{"#": {"x"}}}); len(got) != 0 {
		t.Errorf("odd tag: %v", got)
	}
}

func TestNIP11(t *testing.T) {
	r, err := Start(t.Context(), Config{Path: filepath.Join(t.TempDir(), "x", "relay.db"), Name: "home", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	info, err := relay.FetchInfo(t.Context(), r.URL(), relay.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, nip := range []int{1, 9, 11, 40, 42, 70, 77} {
		if !info.Supports(nip) {
			t.Errorf("NIP-%d is missing in %v", nip, info.SupportedNIPs)
		}
	}
	if info.Name != "home" || info.Limitation.MaxMessageLength != maxMessage {
		t.Errorf("got %+v", info)
	}
}

// serveUntilKilled is the child of TestKillSafe.
func serveUntilKilled(path string) {
	r, err := Start(context.Background(), Config{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(r.URL())
	select {}
}

// A relay that is killed while it writes has every event that it acknowledged,
// and its indexes agree with its events.
func TestKillSafe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "HOMERELAY_CHILD="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Process.Kill()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	c, err := relay.Dial(t.Context(), strings.TrimSpace(url), relay.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	author := newSigner(t)
	var mu sync.Mutex
	acked := map[string]bool{}
	enough := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				e := author.event(1, int64(1000+i), strconv.Itoa(w), nostr.Tag{"t", "x"})
				if port.Write(ctx, c, *e) != nil {
					return
				}
				mu.Lock()
				acked[e.ID] = true
				if len(acked) == 200 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	cancel()
	wg.Wait()
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stored := idsOf(t, s, nostr.Filter{})
	for id := range acked {
		if !slices.Contains(stored, id) {
			t.Errorf("acknowledged event %s is lost", id)
		}
	}
	for _, f := range []nostr.Filter{{Authors: []string{author.pubkey()}}, {Kinds: []int{1}}, {Tags: map[string][]string{"t": {"x"}}}} {
		if got := idsOf(t, s, f); !slices.Equal(got, stored) {
			t.Errorf("%+v finds %d events, the store has %d", f, len(got), len(stored))
		}
	}
}
