package homerelay

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A relay whose disk is full is not ready, also when nobody writes any more, until there is space again.
func TestARelayWhoseDiskIsFullIsNotReady(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=16m"); err != nil {
		t.Skip("only root may mount a disk that is small enough to be filled:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	r := startRelay(t, filepath.Join(disk, "relay", "events.db"))
	author := newSigner(t)
	mustInsert(t, r.store, author.event(1, 1000, "kept"))
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 32<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	var err error
	for at := int64(1001); err == nil; at++ {
		err = r.store.Insert(author.event(1, at, strings.Repeat("x", 32<<10)))
	}
	if !strings.Contains(err.Error(), "no space left") {
		t.Errorf("the event was refused: %v", err)
	}
	for range 2 {
		if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("the relay is content: %v", err)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := r.Ready(); err != nil {
		t.Errorf("with space again: %v", err)
	}
	mustInsert(t, r.store, author.event(1, 9000, "more"))
}
