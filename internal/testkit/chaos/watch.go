package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	lookEvery = 200 * time.Millisecond
	perREQ    = 100 // ids asked for at once
	lookups   = 6   // of the DHT at a time
	perLook   = 24  // lists looked up in one go
)

// watch looks for what is promised, as soon as it may have arrived, until ctx
// ends.
func (f *fleet) watch(ctx context.Context, l *ledger) {
	var group sync.WaitGroup
	group.Go(func() { f.each(ctx, func() { f.lookHome(ctx, l) }) })
	group.Go(func() { f.each(ctx, func() { f.lookDHT(ctx, l) }) })
	group.Wait()
}

func (f *fleet) each(ctx context.Context, do func()) {
	for ctx.Err() == nil {
		do()
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
		}
	}
}

// lookHome asks the home relay for what has not arrived.
func (f *fleet) lookHome(ctx context.Context, l *ledger) {
	for ids := range slices.Chunk(l.missing(), perREQ) {
		ctx, cancel := context.WithTimeout(ctx, attempt)
		for e, err := range f.pool.At(f.homeURL).Query(ctx, nostr.Filter{IDs: ids}) {
			if err != nil {
				break // another time
			}
			l.arrive(e.ID)
		}
		cancel()
	}
}

// lookDHT reads the lists that were signed.
func (f *fleet) lookDHT(ctx context.Context, l *ledger) {
	items := l.unread()
	if len(items) == 0 {
		return
	}
	reader, err := f.newReader(ctx)
	if err != nil {
		return // another time
	}
	defer reader.Close()
	var group errgroup.Group
	group.SetLimit(lookups)
	n := 0
	for author, item := range items {
		if n++; n > perLook {
			break
		}
		group.Go(func() error {
			if got, err := lookup(ctx, reader, item); err == nil && got != nil {
				l.read(author, got)
			}
			return nil // another time
		})
	}
	_ = group.Wait() // nothing fails
}

// lookup reads the item that is on the DHT in the place of another.
func lookup(ctx context.Context, reader *mainline.Node, like bep44.Item) (*bep44.Item, error) {
	got, err := reader.Get(ctx, like.Target(), like.Salt, mainline.GetOptions{})
	return got.Item, err
}

// witness follows the records that the pipeline keeps, and writes down whatever
// goes back.
type witness struct {
	mu      sync.Mutex
	records map[string]sighting // by KV key
	last    uint64              // revision that was seen
	wrong   []string
}

// sighting is one version of a record.
type sighting struct {
	revision uint64
	seq      int64
	sig      string
}

// follow reads the bucket's stream from its beginning until ctx ends.
func (w *witness) follow(ctx context.Context, js jetstream.JetStream) {
	w.records = map[string]sighting{}
	for ctx.Err() == nil {
		if err := w.read(ctx, js); err != nil { // a leader is being elected
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// read follows the stream from where it was left until something fails.
func (w *witness) read(ctx context.Context, js jetstream.JetStream) error {
	consumer, err := js.OrderedConsumer(ctx, "KV_"+contract.BucketRecords, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: w.last + 1,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, messages.Stop)()
	defer messages.Stop()
	for {
		msg, err := messages.Next()
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if err := w.see(msg.Subject(), meta.Sequence.Stream, msg.Data()); err != nil {
			return err
		}
		w.last = meta.Sequence.Stream
	}
}

// see takes one version of a record.
func (w *witness) see(key string, revision uint64, data []byte) error {
	var r contract.Record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("record %s: %w", key, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now, before := sighting{revision, r.Seq, r.Sig}, w.records[key]
	switch {
	case revision <= before.revision:
		return nil // seen already
	case now.seq < before.seq:
		w.wrong = append(w.wrong, fmt.Sprintf("record %s went back from seq %d to %d", key, before.seq, now.seq))
	case now.seq == before.seq && now.sig != before.sig:
		w.wrong = append(w.wrong, fmt.Sprintf("record %s has two contents with seq %d", key, now.seq))
	}
	w.records[key] = now
	return nil
}
