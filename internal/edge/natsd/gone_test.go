package natsd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/natsd"
)

// A server writes on to files that were removed or moved under it, and to those of a folder that
// another has taken the place of. It says so, and asks for its restart. A stream that is deleted
// leaves no folder either.
func TestAFolderThatIsAwayAsksForARestart(t *testing.T) {
	t.Parallel()
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		away string // of the folder that the server was given
		take func(t *testing.T, path string)
	}{
		"removed": {"", func(t *testing.T, path string) { must(t, os.RemoveAll(path)) }},
		"moved":   {"", func(t *testing.T, path string) { must(t, os.Rename(path, path+".away")) }},
		"replaced": {"", func(t *testing.T, path string) {
			must(t, os.RemoveAll(path))
			must(t, os.MkdirAll(path+"/jetstream", 0o700))
		}},
		"a file":   {"", func(t *testing.T, path string) { must(t, os.RemoveAll(path)); must(t, os.WriteFile(path, nil, 0o600)) }},
		"above":    {"..", func(t *testing.T, path string) { must(t, os.Rename(path, path+".away")) }},
		"streams":  {"jetstream", func(t *testing.T, path string) { must(t, os.RemoveAll(path)) }},
		"a stream": {"jetstream/$G/streams/S", func(t *testing.T, path string) { must(t, os.RemoveAll(path)) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data", "nats")
			s := start(t, natsd.Config{Dir: dir, MaxStore: 1 << 40})
			nc := connect(t, s)
			js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
			must(t, err)
			for _, stream := range []string{"S", "DELETED"} {
				_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{stream}})
				must(t, err)
			}
			must(t, s.Health())
			must(t, js.DeleteStream(t.Context(), "DELETED"))
			for deadline := time.Now().Add(time.Minute); s.Health() != nil && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond) // NATS tells of a folder that it is about to remove
			}
			must(t, s.Health())
			c.take(t, filepath.Join(dir, c.away))
			if err := s.Health(); err == nil || !strings.Contains(err.Error(), "removed, moved away or replaced") {
				t.Fatalf("the server is content: %v", err)
			}
			s.LookEvery(time.Millisecond)
			if err := s.Guard(t.Context()); err == nil || !strings.Contains(err.Error(), "started again") {
				t.Fatalf("no restart is asked for: %v", err)
			}
		})
	}
}
