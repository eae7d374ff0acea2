package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// On a small disk up starts and takes ten thousand events, also when the disk is full
// in the midst of them for a while: then it goes on, by itself or started again by its
// supervisor, and has all that it has acknowledged, over its relay and over NATS.
func TestUpOnASmallDiskThatIsFull(t *testing.T) {
	if os.Getenv("RELAYMESH_DISK") == "" {
		t.Skip("two minutes, as root: make test-disk")
	}
	for _, size := range []string{"2G", "10G"} {
		t.Run(size, func(t *testing.T) {
			t.Parallel()
			disk := newDisk(t, size)
			nats, home := loopback.Addr(), loopback.Addr()
			args := quiet(filepath.Join(disk.dir, "data"), "--nats-listen", nats, "--relay-addr", home, "--admin", loopback.Addr())
			cmd := start(t, "relaymesh is up", args...)
			ctx, done := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { supervise(ctx, t, cmd, args); close(ended) }()
			defer func() { done(); <-ended }()

			work := newWork(t, "ws://"+home, "nats://"+nats)
			const part, wholeFull = 3000, 20 * time.Second
			work.send(ctx, t, part, time.Now().Add(5*time.Minute))
			disk.fill(t)
			taken := work.send(ctx, t, part, time.Now().Add(wholeFull))
			t.Logf("%d events were acknowledged while the disk was full", taken)
			disk.free(t)
			freed := time.Now()
			for end := freed.Add(5 * time.Minute); len(work.waiting) > 0; {
				if time.Now().After(end) {
					t.Fatalf("%d events are not taken five minutes after the disk was freed", len(work.waiting))
				}
				if work.send(ctx, t, part, time.Now().Add(30*time.Second)) > 0 && !freed.IsZero() {
					t.Logf("it goes on %s after the disk was freed, at most", time.Since(freed).Round(time.Second))
					freed = time.Time{}
				}
			}
			work.check(t)
		})
	}
}

// supervise starts up again, five seconds after each of its ends, as systemd does.
func supervise(ctx context.Context, t *testing.T, cmd *exec.Cmd, args []string) {
	for ctx.Err() == nil {
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ctx.Done():
			_ = cmd.Process.Signal(syscall.SIGTERM)
			<-ended
			return
		case err := <-ended:
			t.Logf("up ended: %v", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Second):
		}
		cmd = command(t, args...)
		cmd.Stderr = t.Output()
		if err := cmd.Start(); err != nil {
			t.Error(err)
			return
		}
	}
}

// disk is a file system of its own, in a file that takes no more than is written to it.
type disk struct{ dir, filler string }

func newDisk(t *testing.T, size string) disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a disk")
	}
	image, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	for _, line := range [][]string{
		{"truncate", "--size", size, image},
		{"mkfs.ext4", "-q", "-m", "0", image},
		{"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
			t.Skipf("there are no loop devices to be mounted here: %q: %v, %s", line, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v, %s", err, out)
		}
	})
	return disk{dir, filepath.Join(dir, "filler")}
}

// fill takes all that is free, to the last block.
func (d disk) fill(t *testing.T) {
	t.Helper()
	f, err := os.Create(d.filler)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := int64(0)
	for piece := int64(1 << 30); piece >= 4096; {
		err := syscall.Fallocate(int(f.Fd()), 0, size, piece)
		switch {
		case err == nil:
			size += piece
		case errors.Is(err, syscall.ENOSPC):
			piece /= 2
		default:
			t.Fatal(err)
		}
	}
	t.Logf("%d MB fill the disk", size/1e6)
}

func (d disk) free(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.filler); err != nil {
		t.Fatal(err)
	}
}

// work is what is sent, and which of it has been acknowledged.
type work struct {
	relay, nats string

	mu      sync.Mutex
	waiting []job // not acknowledged
	done    []job
}

type job struct {
	event   nostr.Event
	byNATS  bool
	dhtList bool
}

// newWork signs ten thousand events of five hundred authors, who have one DHT list each.
// Of the lists every second one comes by NATS.
func newWork(t *testing.T, relayURL, natsURL string) *work {
	t.Helper()
	const authors, each = 500, 19
	w := &work{relay: relayURL, nats: natsURL}
	for n := range authors {
		key, err := schnorr.NewSecret()
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now().Unix() - int64(rand.IntN(3600)) // dated before what the tail has seen last, too
		list, err := run.SignList(key, []string{"wss://relay.example.com"}, now)
		if err != nil {
			t.Fatal(err)
		}
		w.waiting = append(w.waiting, job{event: list.DHT, byNATS: n%2 == 0, dhtList: true})
		for i := range each {
			e := nostr.Event{CreatedAt: now, Kind: 1, Content: fmt.Sprint("note ", i), Tags: []nostr.Tag{}}
			if err := key.SignEvent(&e); err != nil {
				t.Fatal(err)
			}
			w.waiting = append(w.waiting, job{event: e})
		}
	}
	return w
}

// send sends up to n events until they are all acknowledged, or end, and returns how many
// have been.
func (w *work) send(ctx context.Context, t *testing.T, n int, end time.Time) int {
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	nc, err := nats.Connect(w.nats, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	jobs := make(chan job)
	before := len(w.done)
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() { w.sender(ctx, js, jobs) })
	}
	todo := w.waiting[:min(n, len(w.waiting))]
	w.waiting = slices.Clone(w.waiting[len(todo):])
	for _, j := range todo {
		jobs <- j // each comes back, acknowledged or not
	}
	close(jobs)
	senders.Wait()
	return len(w.done) - before
}

// sender sends each job again until it is acknowledged or ctx ends. Its connection to the
// relay is made again where it is gone.
func (w *work) sender(ctx context.Context, js jetstream.JetStream, jobs <-chan job) {
	var conn *relay.Conn
	for j := range jobs {
		for {
			attempt, cancel := context.WithTimeout(ctx, 4*time.Second)
			var err error
			if j.byNATS {
				err = byNATS(attempt, js, j.event)
			} else {
				err = w.byRelay(attempt, &conn, j.event)
			}
			cancel()
			w.mu.Lock()
			if err == nil {
				w.done = append(w.done, j)
			} else if ctx.Err() != nil {
				w.waiting = append(w.waiting, j)
			}
			w.mu.Unlock()
			if err == nil || ctx.Err() != nil {
				break
			}
			time.Sleep(100 * time.Millisecond) // the other side is to answer, not to be flooded
		}
	}
	if conn != nil {
		conn.Close()
	}
}

func byNATS(ctx context.Context, js jetstream.JetStream, e nostr.Event) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = js.Publish(ctx, events.SubjectEventReceived, text)
	return err
}

func (w *work) byRelay(ctx context.Context, conn **relay.Conn, e nostr.Event) (err error) {
	if *conn == nil || (*conn).Err() != nil {
		if *conn, err = relay.Dial(ctx, w.relay, relay.Options{AllowPrivate: true}); err != nil {
			*conn = nil
			return err
		}
	}
	reply, err := (*conn).Publish(ctx, e)
	if err == nil && reply.Outcome != reconcile.Stored && reply.Outcome != reconcile.Duplicate {
		err = errors.New(reply.Reason.Text)
	}
	return err
}

// byRelayIDs are the ids of the events that the relay has acknowledged.
func (w *work) byRelayIDs() (ids []string) {
	for _, j := range w.done {
		if !j.byNATS {
			ids = append(ids, j.event.ID)
		}
	}
	return ids
}

// check fails unless all that was acknowledged is there.
func (w *work) check(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		conn, err := relay.Dial(t.Context(), w.relay, relay.Options{AllowPrivate: true})
		if err != nil {
			return err
		}
		defer conn.Close()
		const atOnce = 400
		missing := 0
		for ids := range slices.Chunk(w.byRelayIDs(), atOnce) {
			missing += len(ids)
			for _, err := range conn.Query(t.Context(), nostr.Filter{IDs: ids}) {
				if err != nil {
					return err
				}
				missing--
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d acknowledged events are missing in the relay", missing)
		}
		return nil
	})
	lists := uint64(0)
	for _, j := range w.done {
		if j.dhtList {
			lists++
		}
	}
	eventually(t, func() error { return knowsRecords(t, w.nats, lists) })
}
