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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nbd-wtf/go-nostr"
	"github.com/nbd-wtf/go-nostr/nip11"
	"github.com/nbd-wtf/go-nostr/nip77"
)

// publishAll sends the events over the wire and returns those that the relay
// took.
func publishAll(t *testing.T, client *nostr.Relay, all []*nostr.Event) []*nostr.Event {
	t.Helper()
	took := make([]*nostr.Event, len(all))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i, e := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if err := client.Publish(ctx, *e); err == nil {
				took[i] = e
			} else if ctx.Err() != nil {
				t.Errorf("publish: %v", err)
			}
		})
	}
	wg.Wait()
	return slices.DeleteFunc(took, func(e *nostr.Event) bool { return e == nil })
}

func queryIDs(t *testing.T, client *nostr.Relay, f nostr.Filter) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ids := []string{}
	all, err := client.QuerySync(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

func sorted(ids []string) []string { slices.Sort(ids); return ids }

// The whole way of a client: publish over the wire, query by every kind of
// filter, compare with looking at every event, restart, compare again.
func TestServesRealEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	r := startRelay(t, path)
	client := connect(t, r)
	publishAll(t, client, recorded())
	var kept []*nostr.Event
	byID := map[string]*nostr.Event{}
	for _, e := range recorded() {
		byID[e.ID] = e
	}
	for _, id := range queryIDs(t, client, nostr.Filter{}) {
		kept = append(kept, byID[id])
	}
	if len(kept) < 450 {
		t.Fatalf("only %d events were kept", len(kept))
	}
	at := kept[len(kept)/2].CreatedAt
	filters := []nostr.Filter{
		{},
		{Kinds: []int{1}},
		{Kinds: []int{0, 3, 10002}},
		{Authors: []string{kept[1].PubKey, kept[50].PubKey}},
		{Authors: []string{kept[1].PubKey}, Kinds: []int{kept[1].Kind}},
		{IDs: []string{kept[0].ID, kept[10].ID, strings.Repeat("0", 64)}},
		{Since: &at},
		{Until: &at},
		{Since: &at, Until: &at, Kinds: []int{1, 7}},
	}
	for _, e := range kept[:20] {
		if v := e.Tags.Find("p"); v != nil {
			filters = append(filters, nostr.Filter{Tags: nostr.TagMap{"p": {v[1]}}})
		}
	}
	for _, f := range filters {
		if got, want := queryIDs(t, client, f), sorted(naive(kept, f)); !slices.Equal(got, want) {
			t.Errorf("%s: got %d events, want %d", f, len(got), len(want))
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	again := connect(t, startRelay(t, path))
	for _, f := range filters {
		if got, want := queryIDs(t, again, f), sorted(naive(kept, f)); !slices.Equal(got, want) {
			t.Errorf("after a restart %s: got %d events, want %d", f, len(got), len(want))
		}
	}
}

func TestLiveSubscription(t *testing.T) {
	r := startRelay(t, "")
	client, author := connect(t, r), newSigner(t)
	sub, err := client.Subscribe(t.Context(), nostr.Filters{{Kinds: []int{1, 20001}}})
	if err != nil {
		t.Fatal(err)
	}
	<-sub.EndOfStoredEvents
	now := time.Now().Unix()
	for _, e := range []*nostr.Event{author.event(1, now, "stored"), author.event(20001, now, "passing")} {
		if err := client.Publish(t.Context(), *e); err != nil {
			t.Fatalf("kind %d: %v", e.Kind, err)
		}
		if got := <-sub.Events; got.ID != e.ID {
			t.Errorf("kind %d: got %s, want %s", e.Kind, got.ID, e.ID)
		}
	}
	sub.Unsub()
	if got := queryIDs(t, client, nostr.Filter{}); len(got) != 1 {
		t.Errorf("%d events are stored, want the one that is not ephemeral", len(got))
	}
}

func TestRefusals(t *testing.T) {
	r := startRelay(t, "")
	client, author := connect(t, r), newSigner(t)
	now := time.Now().Unix()
	forged := author.event(1, now, "text")
	forged.Content = "other text"
	list := author.event(10002, now, "")
	if err := client.Publish(t.Context(), *list); err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]*nostr.Event{
		"invalid: id":                  forged,
		"invalid: created_at":          author.event(1, now+3600, "from the future"),
		"invalid: d tag":               author.event(30000, now, "", nostr.Tag{"d"}),
		"invalid: empty tag":           author.event(1, now, "", nostr.Tag{}),
		"invalid: the event has exp":   author.event(1, now, "", nostr.Tag{"expiration", "10"}),
		"replaced: a newer version is": author.event(10002, now-1, ""),
	} {
		if err := client.Publish(t.Context(), *e); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q, got %v", name, err)
		}
	}
	// A duplicate is no failure, and a stranger's deletion does not hurt.
	if err := client.Publish(t.Context(), *list); err != nil {
		t.Errorf("duplicate: %v", err)
	}
	note := author.event(1, now, "to be kept")
	stranger := newSigner(t).event(5, now, "", nostr.Tag{"e", note.ID}, nostr.Tag{"e", list.ID})
	for _, e := range []*nostr.Event{stranger, note} {
		if err := client.Publish(t.Context(), *e); err != nil {
			t.Errorf("kind %d: %v", e.Kind, err)
		}
	}
	if got := queryIDs(t, client, nostr.Filter{}); !slices.Equal(got, sorted([]string{list.ID, note.ID, stranger.ID})) {
		t.Errorf("stored: %v", got)
	}
}

func TestNIP11(t *testing.T) {
	r, err := Start(t.Context(), Config{Path: filepath.Join(t.TempDir(), "x", "relay.db"), Name: "home", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	info, err := nip11.Fetch(t.Context(), r.URL())
	if err != nil {
		t.Fatal(err)
	}
	nips := fmt.Sprint(info.SupportedNIPs)
	for _, nip := range []string{"1", "9", "11", "40", "42", "77"} {
		if !slices.Contains(strings.Fields(strings.Trim(nips, "[]")), nip) {
			t.Errorf("NIP-%s is missing in %s", nip, nips)
		}
	}
	if info.Name != "home" || info.Limitation == nil || info.Limitation.MaxMessageLength != maxMessage {
		t.Errorf("got %+v", info)
	}
}

// memory is the local side of go-nostr's NegentropySync.
type memory struct {
	mu  sync.Mutex
	all []*nostr.Event
}

func (m *memory) Publish(_ context.Context, e nostr.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, &e)
	return nil
}

func (m *memory) QueryEvents(ctx context.Context, f nostr.Filter) (chan *nostr.Event, error) {
	all, err := m.QuerySync(ctx, f)
	ch := make(chan *nostr.Event, len(all))
	for _, e := range all {
		ch <- e
	}
	close(ch)
	return ch, err
}

func (m *memory) QuerySync(_ context.Context, f nostr.Filter) ([]*nostr.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var hits []*nostr.Event
	for _, e := range m.all {
		if f.Matches(e) {
			hits = append(hits, e)
		}
	}
	return hits, nil
}

// An independent NIP-77 client and the relay end up with the same set.
func TestNegentropySync(t *testing.T) {
	r := startRelay(t, "")
	client := connect(t, r)
	var regular []*nostr.Event
	for _, e := range recorded() {
		if nostr.IsRegularKind(e.Kind) && e.Kind != 5 && e.Tags.Find("expiration") == nil {
			regular = append(regular, e)
		}
	}
	third := len(regular) / 3
	if took := publishAll(t, client, regular[third:]); len(took) != len(regular)-third {
		t.Fatalf("the relay took %d of %d events", len(took), len(regular)-third)
	}
	local := &memory{all: slices.Clone(regular[:2*third])}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := nip77.NegentropySync(ctx, local, r.URL(), nostr.Filter{}, nip77.Both); err != nil {
		t.Fatal(err)
	}
	want := naive(regular, nostr.Filter{})
	slices.Sort(want)
	if got := queryIDs(t, client, nostr.Filter{}); !slices.Equal(got, want) {
		t.Errorf("the relay has %d events, want %d", len(got), len(want))
	}
	if got := sorted(naive(local.all, nostr.Filter{})); !slices.Equal(got, want) {
		t.Errorf("the client has %d events, want %d", len(got), len(want))
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
	client, err := nostr.RelayConnect(t.Context(), strings.TrimSpace(url))
	if err != nil {
		t.Fatal(err)
	}
	author := newSigner(t)
	var mu sync.Mutex
	acked := map[string]bool{}
	enough := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				e := author.event(1, int64(1000+i), fmt.Sprint(w), nostr.Tag{"t", "x"})
				// go-nostr's Publish says nil when the connection is lost.
				if client.Publish(ctx, *e) != nil || !client.IsConnected() {
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
	for _, f := range []nostr.Filter{{Authors: []string{author.pubkey()}}, {Kinds: []int{1}}, {Tags: nostr.TagMap{"t": {"x"}}}} {
		if got := idsOf(t, s, f); !slices.Equal(got, stored) {
			t.Errorf("%s finds %d events, the store has %d", f, len(got), len(stored))
		}
	}
}
