package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	dhtNodes    = 40
	otherRelays = 3
	loading     = 64 // events sent to a relay at a time
)

// world is everything that a demo runs.
type world struct {
	dir     string
	program string // relaymesh
	dht     *dhtnet.Network
	reader  *mainline.Node      // a DHT node of nobody's
	relays  []*khatrutest.Relay // the other relays
	beyond  *khatrutest.Relay   // one that no list names
	pool    *relay.Pool
	home    string // URL of the home relay, which the pipeline serves
	pipe    pipeline
	log     *tail
	nc      *nats.Conn
	js      jetstream.JetStream

	alice *schnorr.SecretKey // a user of the home relay
	frank *schnorr.SecretKey // another, who has no list
	list  run.SignedList     // the last that alice signed
}

// newWorld starts all parts and fills the relays. It cleans up after itself if
// it fails.
func newWorld(ctx context.Context, o Options) (w *world, err error) {
	w = &world{program: o.Program, log: &tail{also: o.Log}}
	defer func() {
		if err != nil {
			w.explain()
			w.close()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "relaymesh-demo-"); err != nil {
		return w, err
	}
	if w.dht, err = dhtnet.Start(ctx, dhtNodes); err != nil {
		return w, err
	}
	if w.reader, err = w.dht.Client(ctx); err != nil {
		return w, err
	}
	quiet := slog.New(slog.DiscardHandler)
	w.pool = relay.NewPool(relay.Options{AllowPrivate: true, Log: quiet})
	for range otherRelays {
		r, err := khatrutest.Start(ctx, quiet)
		if err != nil {
			return w, err
		}
		w.relays = append(w.relays, r)
	}
	if w.beyond, err = khatrutest.Start(ctx, quiet); err != nil {
		return w, err
	}
	if err := errors.Join(w.fill(ctx, o.Events), w.fillBeyond(ctx)); err != nil {
		return w, err
	}
	if o.pipeline == nil {
		o.pipeline = newUp
	}
	if w.pipe, err = o.pipeline(ctx, w, o); err != nil {
		return w, err
	}
	if err := w.connect(ctx); err != nil {
		return w, err
	}
	return w, w.settles(ctx)
}

// fill spreads the events over the other relays, each to one or two of them by
// its hash. Recorded authors say in their lists that they write at relays of the
// real world, and beside that the demo's claim for its own would not count: the
// lists are left out.
func (w *world) fill(ctx context.Context, list []nostr.Event) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(loading)
	for _, e := range list {
		if e.Kind == nostr.KindRelayList {
			continue
		}
		h := fnv.New32a()
		h.Write([]byte(e.ID))
		first := int(h.Sum32()) % len(w.relays)
		for _, r := range []int{first, (first + int(h.Sum32()>>16)%2) % len(w.relays)} {
			group.Go(func() error {
				_, err := w.send(ctx, w.relays[r].URL(), e)
				return err
			})
		}
	}
	return group.Wait()
}

// send publishes an event; refused is the relay's reason if it did not take it.
func (w *world) send(ctx context.Context, url string, e nostr.Event) (refused string, err error) {
	reply, err := w.pool.At(url).Publish(ctx, e)
	if err != nil || reply.Kept() {
		return "", err
	}
	return reply.Reason.String(), nil
}

// connect waits until the pipeline is there.
func (w *world) connect(ctx context.Context) error {
	nc, err := bus.Dial(ctx, w.pipe.nats(), "demo", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	w.nc, w.home = nc, w.pipe.relay()
	if w.js, err = jetstream.New(nc); err != nil {
		return err
	}
	return w.until(ctx, func() error {
		_, err := w.js.KeyValue(ctx, contract.BucketCursors) // the last one to be provisioned
		return err
	})
}

func (w *world) urls() []string {
	var out []string
	for _, r := range w.relays {
		out = append(out, r.URL())
	}
	return out
}

// until calls f until it succeeds; its last error before the time was up tells
// why it did not.
func (w *world) until(ctx context.Context, f func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not in time: %w", last)
		}
	}
}

func (w *world) close() {
	if w.pipe != nil {
		w.pipe.close()
	}
	if w.nc != nil {
		w.nc.Close()
	}
	if w.pool != nil {
		w.pool.Close()
	}
	for _, r := range w.relays {
		_ = r.Close()
	}
	if w.beyond != nil {
		_ = w.beyond.Close()
	}
	if w.reader != nil {
		_ = w.reader.Close()
	}
	if w.dht != nil {
		_ = w.dht.Close()
	}
	_ = os.RemoveAll(w.dir)
}

// explain shows the end of the pipeline's log.
func (w *world) explain() {
	if w.log.also == nil {
		_, _ = os.Stderr.Write(w.log.end())
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	also io.Writer

	mu  sync.Mutex
	buf bytes.Buffer
}

const tailSize = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	if t.also != nil {
		return t.also.Write(p)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - tailSize; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) end() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.buf.Bytes())
}
