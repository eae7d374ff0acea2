package kv_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
)

// A bucket that somebody deletes fails whoever asks for it, which is told after a minute, and no more once it is
// there again. What nobody asks for is not told of.
func TestADeletedBucketFailsUntilItIsMadeAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		if err := w.JS.DeleteKeyValue(w.Context(), contract.BucketSyncs); err != nil {
			w.Fatal(err)
		}
		ask := func() {
			if _, _, err := w.b.Get(w.Context(), "k"); err == nil {
				w.Error("read from a bucket that is not there")
			}
		}
		ask()
		time.Sleep(time.Hour)
		if err := w.b.Failing(); err != nil {
			w.Errorf("failed once: %v", err)
		}
		ask()
		if err := w.b.Failing(); err == nil || !strings.Contains(err.Error(), "bucket syncs gives nothing for 1h") {
			w.Errorf("failed for an hour: %v", err)
		}
		if _, err := bus.Provision(w.Context(), w.JS, bus.ProvisionOptions{}); err != nil {
			w.Fatal(err)
		}
		if _, _, err := w.b.Get(w.Context(), "k"); err != nil || w.b.Failing() != nil {
			w.Errorf("made again: %v, %v", err, w.b.Failing())
		}
	})
}

// A server whose disk was full for a moment may answer all questions and take nothing more until it is started
// again, as long as others read from the bucket.
func TestABucketThatTakesNothingIsToldOfAlthoughItIsRead(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=48m"); err != nil {
		t.Skip("only root may mount a disk that is small enough to be filled:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		js := natstest.Provision(t, natstest.StartOn(t, filepath.Join(disk, "nats")))
		b, err := kv.Open[string](t.Context(), js, contract.BucketSyncs)
		if err != nil {
			t.Fatal(err)
		}
		put := func(key string, bytes int) error {
			_, err := b.Update(context.Background(), key, func(string, bool) (string, bool) { return strings.Repeat("x", bytes), true })
			return err
		}
		if err := put("kept", 1); err != nil {
			t.Fatal(err)
		}
		filler := filepath.Join(disk, "filler")
		if err := os.WriteFile(filler, make([]byte, 44<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		for i := 0; put("fill", 256<<10+i) == nil; i++ { // until it is full
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			time.Sleep(20 * time.Second)
			if value, _, err := b.Get(t.Context(), "kept"); err != nil || value != "x" {
				t.Fatalf("reads %.10q, %v", value, err)
			}
			if put("more", 1) == nil {
				t.Fatal("the server takes writes again by itself: is this of any use any more?")
			}
		}
		if err := b.Failing(); err == nil || !strings.Contains(err.Error(), "bucket syncs takes nothing for ") {
			t.Errorf("it says %v", err)
		}
	})
}
