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

	"github.com/mailru/easyjson"
	gonostr "github.com/nbd-wtf/go-nostr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("HOMERELAY_CHILD"); path != "" {
		serveUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}

// recorded returns the events of go-nostr's testdata, all really signed.
var recorded = sync.OnceValue(func() []*gonostr.Event {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/nbd-wtf/go-nostr").Output()
	if err != nil {
		panic(err)
	}
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "testdata", "messages.jsonl"))
	if err != nil {
		panic(err)
	}
	defer f.Close()
	var all []*gonostr.Event
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var msg []json.RawMessage
		if json.Unmarshal(lines.Bytes(), &msg) != nil || len(msg) < 3 || string(msg[0]) != `"EVENT"` {
			continue
		}
		e := &gonostr.Event{}
		if err := easyjson.Unmarshal(msg[2], e); err != nil {
			panic(err)
		}
		all = append(all, e)
	}
	return all
})

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

func (s signer) event(kind int, at int64, content string, tags ...gonostr.Tag) *gonostr.Event {
	s.t.Helper()
	e := &gonostr.Event{Kind: kind, CreatedAt: gonostr.Timestamp(at), Content: content, Tags: tags}
	if err := e.Sign(s.key); err != nil {
		s.t.Fatal(err)
	}
	return e
}

func idsOf(t *testing.T, s *store, f gonostr.Filter) []string {
	t.Helper()
	ids := []string{}
	err := s.Query(t.Context(), f, func(e *gonostr.Event) bool {
		ids = append(ids, e.ID)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func mustInsert(t *testing.T, s *store, all ...*gonostr.Event) {
	t.Helper()
	for _, e := range all {
		if err := s.Insert(e); err != nil {
			t.Fatalf("insert kind %d at %d: %v", e.Kind, e.CreatedAt, err)
		}
	}
}

// insertAll stores events in any order, many at a time.
func insertAll(t *testing.T, s *store, all []*gonostr.Event) {
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
func naive(all []*gonostr.Event, f gonostr.Filter) []string {
	var hits []*gonostr.Event
	for _, e := range all {
		if f.Matches(e) {
			hits = append(hits, e)
		}
	}
	slices.SortFunc(hits, func(a, b *gonostr.Event) int {
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
