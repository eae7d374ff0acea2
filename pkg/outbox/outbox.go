package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Message is one message for the bus; Header is that of a NATS message.
type Message struct {
	Subject string
	Header  map[string][]string
	Data    []byte
}

// Options of an [Outbox]. The zero value of each means its default.
type Options struct {
	// MaxEvents and MaxBytes bound what is held: 100,000 events and 256 MiB.
	// That is a minute of 1,600 events a second.
	MaxEvents int
	MaxBytes  int
	// Sender names who publishes, see [events.HeaderSender].
	Sender string
	// Prefix is the --nats-prefix of the pipeline, "" for none: it comes before the subject
	// of each message, with a dot.
	Prefix string
	// Dropped is told how many events exceeded the limits, or were too long, since
	// it was told last, at most every ten seconds. It must not block.
	Dropped func(events int)
	// Failed is told why publishing fails, at most every ten seconds.
	Failed func(err error)
}

const (
	defaultEvents = 100_000
	defaultBytes  = 256 << 20
	// publishers is how many messages are published at a time.
	publishers = 64
	// attempt bounds one try, and leastWait and mostWait are between two.
	attempt             = 3 * time.Second
	leastWait, mostWait = 100 * time.Millisecond, time.Second
	// tellEvery is how often the functions of Options are called at most.
	tellEvery = 10 * time.Second
)

// ErrClosed is the error of [Outbox.PutWait] after [Outbox.Close].
var ErrClosed = errors.New("outbox: closed")

// Outbox holds events until they are published. Its methods may be called
// concurrently.
type Outbox struct {
	publish func(ctx context.Context, m Message) error
	options Options
	ctx     context.Context //nolint:containedctx // of the publishers: ends when Close gives up
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu           sync.Mutex
	less         *sync.Cond // something was published, or a waiter's context has ended
	queue        [][]byte
	held, bytes  int // with what is being published
	workers      int
	closed       bool
	dropped      int
	toldDropped  time.Time
	toldFailures time.Time
}

// New returns an outbox that publishes with publish, which is called from up
// to 64 goroutines, may be called again for the same message, and must return
// when its context ends.
func New(publish func(ctx context.Context, m Message) error, o Options) *Outbox {
	if o.MaxEvents == 0 {
		o.MaxEvents = defaultEvents
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultBytes
	}
	b := &Outbox{publish: publish, options: o}
	b.less = sync.NewCond(&b.mu)
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// Put takes a Nostr event, as JSON, which must not be changed afterwards. It
// never blocks; false means that the event is dropped: it would exceed the limits
// of Options, or it is longer than [nostr.MaxEventBytes] or Options.MaxBytes.
func (b *Outbox) Put(event []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(event) > b.longest() || !b.fits(event) {
		b.dropped++
		b.tellDropped()
		return false
	}
	b.add(event)
	return true
}

// PutWait is [Outbox.Put] that waits for space until ctx ends, and returns an
// error at once for an event that is too long.
func (b *Outbox) PutWait(ctx context.Context, event []byte) error {
	if longest := b.longest(); len(event) > longest {
		return fmt.Errorf("outbox: event of %d bytes, at most %d are taken", len(event), longest)
	}
	defer context.AfterFunc(ctx, b.wake)()
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.closed && !b.fits(event) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.less.Wait()
	}
	if b.closed {
		return ErrClosed
	}
	b.add(event)
	return nil
}

// Flush waits until everything that was put is published, or ctx ends.
func (b *Outbox) Flush(ctx context.Context) error {
	defer context.AfterFunc(ctx, b.wake)()
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.held > 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.less.Wait()
	}
	return nil
}

// Close takes nothing more, publishes what is held until ctx ends, and returns
// how many events are lost then.
func (b *Outbox) Close(ctx context.Context) (lost int) {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	_ = b.Flush(ctx) // what is left is counted below
	b.cancel()
	b.wake()
	b.running.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.toldDropped = time.Time{}
	b.tellDropped()
	return b.held
}

func (b *Outbox) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.less.Broadcast()
}

// longest is the length of the longest event that is taken. Ingest would refuse
// a longer one; the bus may do so for ever, and would keep a publisher busy.
func (b *Outbox) longest() int { return min(nostr.MaxEventBytes, b.options.MaxBytes) }

func (b *Outbox) fits(event []byte) bool {
	return b.held < b.options.MaxEvents && b.bytes+len(event) <= b.options.MaxBytes
}

func (b *Outbox) add(event []byte) {
	b.queue = append(b.queue, event)
	b.held++
	b.bytes += len(event)
	if b.workers < publishers {
		b.workers++
		b.running.Go(b.work)
	}
}

// tellDropped reports what was dropped, unless it did so lately.
func (b *Outbox) tellDropped() {
	if now := time.Now(); b.dropped > 0 && b.options.Dropped != nil && now.Sub(b.toldDropped) >= tellEvery {
		b.toldDropped = now
		b.options.Dropped(b.dropped)
		b.dropped = 0
	}
}

// work publishes until nothing is queued or Close has given up.
func (b *Outbox) work() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) > 0 && b.ctx.Err() == nil {
		event := b.queue[0]
		b.queue[0] = nil
		b.queue = b.queue[1:]
		b.mu.Unlock()
		delivered := b.deliver(event)
		b.mu.Lock()
		if delivered {
			b.held--
			b.bytes -= len(event)
			b.less.Broadcast()
		}
		b.tellDropped()
	}
	b.workers--
}

// deliver publishes an event, as often as it takes; false means that Close has
// given up.
func (b *Outbox) deliver(event []byte) bool {
	m := b.message(event)
	for wait := leastWait; ; wait = min(2*wait, mostWait) {
		ctx, cancel := context.WithTimeout(b.ctx, attempt)
		err := b.publish(ctx, m)
		cancel()
		if err == nil {
			return true
		}
		b.tellFailure(err)
		select {
		case <-b.ctx.Done():
			return false
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

func (b *Outbox) tellFailure(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); b.options.Failed != nil && b.ctx.Err() == nil && now.Sub(b.toldFailures) >= tellEvery {
		b.toldFailures = now
		b.options.Failed(err)
	}
}

func (b *Outbox) message(event []byte) Message {
	m := Message{Subject: events.SubjectEventReceived, Header: map[string][]string{}, Data: event}
	if b.options.Prefix != "" {
		m.Subject = b.options.Prefix + "." + m.Subject
	}
	if b.options.Sender != "" {
		m.Header[events.HeaderSender] = []string{b.options.Sender}
	}
	return m
}
