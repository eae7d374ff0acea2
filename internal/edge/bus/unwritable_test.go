package bus_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// The disk of a NATS server elsewhere was full for a moment, while others published. The
// stage that only reads the stream says so, and others do not.
func TestAStreamThatCannotBeWrittenIsToldOf(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=48m"); err != nil {
		t.Skip("only root may mount a disk that is small enough to be filled:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	js := smallServer(t, server.Options{StoreDir: filepath.Join(disk, "nats")})
	reads, err := bus.New(js, bus.Options{Stage: contract.StageIngest})
	if err != nil {
		t.Fatal(err)
	}
	other, err := bus.New(js, bus.Options{Stage: contract.StageFetcher})
	if err != nil {
		t.Fatal(err)
	}
	if err := reads.Unwritable(); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 44<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for sent := 0; reads.Unwritable() == nil; sent++ { // what is not stored is not answered
		if sent > 200 {
			t.Fatal("the disk does not get full, or nobody says so")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, _ = js.Publish(ctx, events.SubjectEventReceived, make([]byte, 256<<10))
		cancel()
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := reads.Unwritable(); err == nil || !strings.Contains(err.Error(), "stream INTAKE takes nothing until") ||
		!strings.Contains(err.Error(), "no space left") {
		t.Errorf("the stage that reads it says %v", err)
	}
	if err := other.Unwritable(); err != nil {
		t.Errorf("another stage says %v", err)
	}
	js.Conn().Close()
	if err := reads.Unwritable(); err != nil {
		t.Errorf("without a connection: %v", err)
	}
}
