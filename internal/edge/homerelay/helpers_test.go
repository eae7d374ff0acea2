package homerelay

import (
	"bufio"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	gonostr "github.com/nbd-wtf/go-nostr"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("HOMERELAY_CHILD"); path != "" {
		serveUntilKilled(path)
	}
	// go-nostr's writer waits for ever for a caller who has gone, if writing fails.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nbd-wtf/go-nostr.(*Relay).ConnectWithTLS.func1"))
}

// recorded returns the events of go-nostr's testdata, all really signed.
var recorded = sync.OnceValue(func() []*nostr.Event {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/nbd-wtf/go-nostr").Output()
	if err != nil {
		panic(err)
	}
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "testdata", "messages.jsonl"))
	if err != nil {
		panic(err)
	}
	defer f.Close()
	var all []*nostr.Event
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var msg []json.RawMessage
		if json.Unmarshal(lines.Bytes(), &msg) != nil || len(msg) < 3 || string(msg[0]) != `"EVENT"` {
			continue
		}
		e, err := nostr.ParseEvent(msg[2])
		if err != nil {
			panic(err)
		}
		all = append(all, &e)
	}
	return all
})

// regularKind reports whether an event is kept beside all others (NIP-01), and
// shown to all.
func regularKind(e *nostr.Event) bool {
	return gonostr.IsRegularKind(e.Kind) && e.Kind != 5 && e.Tag("expiration") == nil && !nostr.Private(e.Kind)
}

func startRelay(t *testing.T, path string) *Relay {
	t.Helper()
	return startConfig(t, Config{Path: path})
}

// startConfig starts a relay whose log is an error of the test: it complains of
// nothing but its own failures.
func startConfig(t *testing.T, c Config) *Relay {
	t.Helper()
	if c.Path == "" {
		c.Path = filepath.Join(t.TempDir(), "relay.db")
	}
	c.Log = slog.New(slog.NewTextHandler(complaints{t}, nil))
	r, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// complaints is a log that must stay empty; net/http writes recovered panics
// to it.
type complaints struct{ t *testing.T }

func (c complaints) Write(line []byte) (int, error) {
	c.t.Errorf("the relay complains: %s", line)
	return len(line), nil
}

func newStore(t *testing.T) *store {
	t.Helper()
	s, err := openStore(filepath.Join(t.TempDir(), "relay.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// ours and theirs carry events and filters between relaymesh and go-nostr,
// which signs and matches independently.
func ours(e *gonostr.Event) *nostr.Event {
	out := &nostr.Event{
		ID: e.ID, PubKey: e.PubKey, CreatedAt: int64(e.CreatedAt), Kind: e.Kind, Tags: []nostr.Tag{}, Content: e.Content, Sig: e.Sig,
	}
	for _, t := range e.Tags {
		out.Tags = append(out.Tags, nostr.Tag(t))
	}
	return out
}

func theirs(e *nostr.Event) *gonostr.Event {
	out := &gonostr.Event{
		ID: e.ID, PubKey: e.PubKey, CreatedAt: gonostr.Timestamp(e.CreatedAt), Kind: e.Kind, Tags: gonostr.Tags{}, Content: e.Content, Sig: e.Sig,
	}
	for _, t := range e.Tags {
		out.Tags = append(out.Tags, gonostr.Tag(t))
	}
	return out
}

func theirFilter(f nostr.Filter) gonostr.Filter {
	out := gonostr.Filter{IDs: f.IDs, Authors: f.Authors, Kinds: f.Kinds, Tags: f.Tags, Limit: f.Limit}
	if since := gonostr.Timestamp(f.Since); since != 0 {
		out.Since = &since
	}
	if until := gonostr.Timestamp(f.Until); until != 0 {
		out.Until = &until
	}
	return out
}

// signer makes events of one author.
type signer struct {
	t   *testing.T
	key string
}

func newSigner(t *testing.T) signer { return signer{t, gonostr.GeneratePrivateKey()} }

func (s signer) pubkey() string {
	pub, err := gonostr.GetPublicKey(s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	return pub
}

func (s signer) event(kind int, at int64, content string, tags ...nostr.Tag) *nostr.Event {
	s.t.Helper()
	e := theirs(&nostr.Event{Kind: kind, CreatedAt: at, Content: content, Tags: tags})
	if err := e.Sign(s.key); err != nil {
		s.t.Fatal(err)
	}
	return ours(e)
}

func idsOf(t *testing.T, s *store, f nostr.Filter) []string {
	t.Helper()
	ids := []string{}
	err := s.Query(t.Context(), everything, f, func(event []byte) bool {
		id, _ := nostr.PeekID(event)
		ids = append(ids, id)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func mustInsert(t *testing.T, s *store, all ...*nostr.Event) {
	t.Helper()
	for _, e := range all {
		if err := s.Insert(e); err != nil {
			t.Fatalf("insert kind %d at %d: %v", e.Kind, e.CreatedAt, err)
		}
	}
}

// insertAll stores events in any order, many at a time.
func insertAll(t *testing.T, s *store, all []*nostr.Event) {
	t.Helper()
	const writers = 64
	var wg sync.WaitGroup
	for part := range writers {
		wg.Go(func() {
			for i := part; i < len(all); i += writers {
				if err := s.Insert(all[i]); err != nil {
					t.Errorf("insert: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// naive filters by looking at every event, newest first, then lowest id.
func naive(all []*nostr.Event, f nostr.Filter) []string {
	var hits []*nostr.Event
	filter := theirFilter(f)
	for _, e := range all {
		if filter.Matches(theirs(e)) {
			hits = append(hits, e)
		}
	}
	slices.SortFunc(hits, func(a, b *nostr.Event) int {
		if a.CreatedAt != b.CreatedAt {
			return int(b.CreatedAt - a.CreatedAt)
		}
		return strings.Compare(a.ID, b.ID)
	})
	if f.Limit > 0 && len(hits) > f.Limit {
		hits = hits[:f.Limit]
	}
	ids := []string{}
	for _, e := range hits {
		ids = append(ids, e.ID)
	}
	return ids
}

// entriesOf counts the entries of a bucket.
func entriesOf(t *testing.T, s *store, bucket string) (n int) {
	t.Helper()
	if err := s.view(func(tx *bbolt.Tx) error { n = tx.Bucket([]byte(bucket)).Stats().KeyN; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}
