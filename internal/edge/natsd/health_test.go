package natsd_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/natsd"
)

// smallDisk is a folder with so many bytes of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("only root may mount a disk that is small enough to be filled:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A disk that was full for a moment leaves a stream that takes nothing any more. The server
// says so, and asks for its restart as soon as that helps, and not before; then all that
// was acknowledged is there, and more is taken.
func TestADiskThatWasFullAsksForARestart(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "48m")
	config := natsd.Config{Dir: filepath.Join(disk, "nats"), MaxStore: 1 << 40}
	s := start(t, config)
	if err := s.Health(); err != nil {
		t.Fatal(err)
	}
	nc := connect(t, s)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 44<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	taken := uint64(0)
	for message := make([]byte, 256<<10); s.Health() == nil; {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if _, err := js.Publish(ctx, "s", message); err == nil {
			taken++
		}
		cancel()
		if taken > 200 {
			t.Fatal("the disk does not get full")
		}
	}
	s.LookEvery(20 * time.Millisecond)
	guarded := make(chan error, 1)
	go func() { guarded <- s.Guard(t.Context()) }()
	select {
	case err := <-guarded:
		t.Fatalf("asks for a restart while the disk is full: %v", err)
	case <-time.After(500 * time.Millisecond): // it has looked some times
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := <-guarded; err == nil || !strings.Contains(err.Error(), "started again") {
		t.Fatalf("%v", err)
	}
	nc.Close()
	s.Close()
	s = start(t, config)
	if err := s.Health(); err != nil {
		t.Error(err)
	}
	if js, err = jetstream.New(connect(t, s), jetstream.WithDefaultTimeout(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if ack, err := js.Publish(t.Context(), "s", []byte("more")); err != nil || ack.Sequence <= taken {
		t.Errorf("after the restart: %+v, %v; %d were taken before", ack, err, taken)
	}
}
