package console

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
)

const (
	// countEvery is how often what has changed is counted.
	countEvery = 5 * time.Second
	// countBatch is how many values one question brings.
	countBatch = 1000
	// forgets is after how long without an answer everything is counted anew: the
	// marker of a removed key lives for an hour, see package kv.
	forgets = 30 * time.Minute
)

// counter keeps counts over whole buckets. It reads each bucket once, in
// the order in which JetStream stores it, and from then on only what was written
// since, so that what it costs does not grow with what is stored.
type counter struct {
	js      jetstream.JetStream
	buckets []string // those that are read
	batch   int      // how many values one question brings

	reading sync.Mutex        // held by who reads; guards next, read and took
	next    map[string]uint64 // by bucket: the first sequence that was not read
	read    time.Time         // when all had been read
	took    time.Duration     // how long it took to count, without reading

	mu    sync.Mutex
	facts facts
	last  atomic.Pointer[Summary] // pages do not wait while it is made

	history history
}

func newCounter(js jetstream.JetStream, buckets []string) *counter {
	c := &counter{js: js, buckets: buckets, batch: countBatch, next: map[string]uint64{}, facts: newFacts()}
	none := c.facts.count(time.Now())
	c.last.Store(&none)
	return c
}

// run counts until ctx ends; counted is told each time that it has, or why something could
// not be read.
func (c *counter) run(ctx context.Context, counted func(error)) {
	for {
		if err := c.catchUp(ctx); ctx.Err() == nil {
			counted(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(countEvery, 100*c.took)): // a hundredth of a core at most
		}
	}
}

// summary returns the newest counts.
func (c *counter) summary() Summary { return *c.last.Load() }

// catchUp reads what was written since the last time, and counts.
func (c *counter) catchUp(ctx context.Context) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	begun := time.Now()
	if !c.read.IsZero() && begun.Sub(c.read) > forgets {
		c.anew()
	}
	changed := false
	for _, bucket := range c.buckets {
		news, err := c.catchUpOf(ctx, bucket)
		if err != nil {
			return err
		}
		changed = changed || news
	}
	c.read = begun
	if last := c.last.Load(); !changed && last.Whole && begun.Sub(last.At) < time.Minute { // some go by the time
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	counting := time.Now()
	now := c.facts.count(counting)
	now.Whole = true
	c.last.Store(&now)
	c.took = time.Since(counting)
	return nil
}

// anew forgets everything; the counts of before stand until all has been read again.
func (c *counter) anew() {
	clear(c.next)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.facts = newFacts()
}

// catchUpOf reads what was written to one bucket, and reports whether there was anything.
func (c *counter) catchUpOf(ctx context.Context, bucket string) (news bool, err error) {
	name := "KV_" + bucket
	asking, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	stream, err := c.js.Stream(asking, name)
	if err != nil {
		return false, need(err)
	}
	last := stream.CachedInfo().State.LastSeq
	if c.next[bucket] > last+1 { // it was made anew
		c.anew()
		return false, fmt.Errorf("bucket %s was made anew", bucket)
	}
	for c.next[bucket] <= last {
		asking, cancel := context.WithTimeout(ctx, readWithin)
		list, err := batch(asking, c.js, name, "$KV."+bucket+".>", c.next[bucket], c.batch)
		cancel()
		if err != nil {
			return news, err
		}
		if len(list) == 0 { // what was stored last has been removed
			c.next[bucket] = last + 1
			break
		}
		c.take(bucket, list)
		c.next[bucket] = list[len(list)-1].Sequence + 1
		news = true
	}
	return news, nil
}

func (c *counter) take(bucket string, list []*jetstream.RawStreamMsg) {
	now := time.Now().Unix()
	lock, apply := &c.mu, c.facts.apply
	if bucket == contract.BucketHistory {
		lock, apply = &c.history.mu, c.history.apply
	}
	lock.Lock()
	defer lock.Unlock()
	for _, m := range list {
		data := m.Data
		if kv.Removed(m.Header) {
			data = nil
		}
		apply(bucket, strings.TrimPrefix(m.Subject, "$KV."+bucket+"."), data, now)
	}
}
