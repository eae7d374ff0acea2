package homerelay

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A store writes on to a file that was removed, moved or replaced under it. The relay takes nothing
// more, says so, and asks for its restart; what was removed is there again then.
func TestAStoreThatIsAwayTakesNothingAndAsksForARestart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		take func(path string) error
		want string // the restart
		kept int    // events after it
		ends bool   // the process, before Guard has looked
	}{
		"file removed":   {os.Remove, "written again", 2, false},
		"at the end":     {os.Remove, "written again", 2, true},
		"folder removed": {func(path string) error { return os.RemoveAll(filepath.Dir(path)) }, "written again", 2, false},
		"file moved":     {func(path string) error { return os.Rename(path, path+".away") }, "put it back", 0, false},
		"folder moved":   {func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".away") }, "put it back", 0, false},
		"replaced": {func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600))
		}, "another file is there", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "relay", "events.db")
			r := startRelay(t, path)
			author := newSigner(t)
			for i := range 2 {
				mustInsert(t, r.store, author.event(1, int64(1000+i), "kept"))
			}
			if err := errors.Join(r.Ready(), c.take(path)); err != nil {
				t.Fatal(err)
			}
			if err := r.Ready(); !errors.Is(err, errGone) {
				t.Errorf("the relay is content: %v", err)
			}
			err := r.store.Insert(author.event(1, 2000, "lost"))
			if !errors.Is(err, errGone) || strings.Contains(storeReason(err), path) {
				t.Errorf("it takes more, or says where it is: %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			if r.lookEvery = time.Millisecond; c.ends {
				r.lookEvery = time.Hour
				cancel()
			}
			defer cancel()
			if err := r.Guard(ctx); !errors.Is(err, errGone) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("no restart is asked for: %v, want %q", err, c.want)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if got := idsOf(t, startRelay(t, path).store, nostr.Filter{}); len(got) != c.kept {
				t.Errorf("%d events after the restart, want %d", len(got), c.kept)
			}
		})
	}
}

// A file that cannot be written again waits until it can.
func TestAStoreIsWrittenAgainAsSoonAsThereIsAPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "relay", "events.db")
	r := startRelay(t, path)
	r.log, r.lookEvery = slog.New(slog.DiscardHandler), time.Millisecond
	mustInsert(t, r.store, newSigner(t).event(1, 1000, "kept"))
	folder := filepath.Dir(path)
	if err := errors.Join(os.RemoveAll(folder), os.WriteFile(folder, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.writeAgain(); err == nil {
		t.Fatal("it was written where there is no folder")
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Guard(t.Context()) }()
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "written again") {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got := idsOf(t, startRelay(t, path).store, nostr.Filter{}); len(got) != 1 {
		t.Errorf("%d events after the restart, want 1", len(got))
	}
}
