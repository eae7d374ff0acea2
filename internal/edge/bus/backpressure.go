package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/backoff"
	"github.com/relaymesh/relaymesh/internal/contract"
)

// A queue that is full makes those wait who publish to it: their messages stay
// in flight, so that they take no more, and the queue before them fills, up to
// the relays. Nothing is dropped on the way, and waiting counts as no attempt.

const (
	// lookEvery is how old the figures may be by which publishers keep to a
	// bound that the server does not keep.
	lookEvery = time.Second
	// maxBlock is how long those wait whose outputs go back to an earlier stage.
	maxBlock = time.Minute
	// afterFull is when they try again.
	afterFull = 5 * time.Minute
	tellEvery = time.Minute
)

// betweenLooks is how long who publishes to a full queue waits to try again.
var betweenLooks = backoff.Backoff{First: 250 * time.Millisecond, Most: 5 * time.Second}

var (
	errFull     = errors.New("the queue is full")
	errStopping = errors.New("shutting down while a queue is full")
)

// blocksWhenFull reports whether a stage waits for as long as a queue is full. Not
// all may: the events of syncworker and fetcher go back to ingest, and if every
// stage of that cycle waited for the next, all would wait for ever. They put
// their message off instead, which drains the queue.
func blocksWhenFull(stage string) bool {
	return stage == contract.StageIngest || stage == contract.StageDHTWorker
}

// full reports whether a stream, or the server, accepts no more.
func full(err error) bool {
	const (
		storeFailed     = 10077 // here: maximum bytes or messages exceeded
		tooManyRequests = 10167
	)
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return errors.Is(err, errFull)
	}
	switch api.ErrorCode {
	case tooManyRequests:
		return true
	case storeFailed:
		return !alreadyQueued(err)
	}
	return outOfResources(err)
}

// outOfResources reports whether the server, or our account there, has neither
// memory nor storage left.
func outOfResources(err error) bool {
	const (
		accountResources      = 10002
		insufficientResources = 10023
		insufficientMemory    = 10028
		insufficientStorage   = 10047
	)
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case accountResources, insufficientResources, insufficientMemory, insufficientStorage:
		return true
	}
	return false
}

// publishWithBackpressure publishes by try as soon as the stream of the subject is
// below its limit. Of the callers that wait for one stream, one tries now and
// then, and after it the next.
func (b *Bus) publishWithBackpressure(ctx context.Context, subject string, try func(context.Context) error) error {
	stream, pattern, _ := streamOf(subject)
	attempt := func() error {
		// A schedule is let in: it takes the place of an older one, or of the
		// wake-up that led to it.
		if !strings.HasPrefix(pattern, contract.PrefixSchedule) {
			if err := b.look(ctx, stream); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(ctx, publishTimeout)
		defer cancel()
		err := try(ctx)
		b.writes.note(stream.Name, err, time.Now())
		if err == nil {
			b.metrics.published.WithLabelValues(b.options.Stage, stream.Name).Inc()
		}
		return err
	}
	err := attempt()
	if !full(err) {
		return err
	}
	var enough <-chan time.Time // never
	if !blocksWhenFull(b.options.Stage) {
		enough = time.After(maxBlock)
	}
	return b.wait(ctx, stream.Name, enough, err, attempt)
}

// storeWithBackpressure stores the retry or the dead letter of a message as soon as
// the server has storage. Until then the message stays in flight, whatever the
// stage: given back it would come again, and after MaxDeliver times never more.
func (b *Bus) storeWithBackpressure(ctx context.Context, stream string, store func(context.Context) error) error {
	attempt := func() error {
		ctx, cancel := context.WithTimeout(ctx, publishTimeout)
		defer cancel()
		return store(ctx)
	}
	err := attempt()
	if !full(err) {
		return err
	}
	return b.wait(ctx, stream, nil, err, attempt)
}

// wait tries again, one caller per stream at a time, until an attempt succeeds or
// fails for another reason than err.
func (b *Bus) wait(ctx context.Context, stream string, enough <-chan time.Time, err error, attempt func() error) error {
	defer b.blocked(ctx, stream, err)()
	var pause <-chan time.Time
	slot := b.levels.retrySlot(stream)
	for looks := 1; ; {
		select {
		case slot <- struct{}{}:
			defer func(slot chan struct{}) { <-slot }(slot)
			slot = nil
		case <-pause:
			looks++
		case <-enough:
			return err
		case <-b.stopping:
			return fmt.Errorf("%w: %w", errStopping, err)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
		if err = attempt(); !full(err) {
			return err
		}
		pause = time.After(betweenLooks.Wait(looks, rand.Float64()))
	}
}

// blocked counts, and logs now and then, that a caller waits for a full stream,
// until the returned function is called.
func (b *Bus) blocked(ctx context.Context, stream string, err error) (done func()) {
	waiting, ends := b.metrics.blocked.WithLabelValues(b.options.Stage, stream), b.waits()
	waiting.Inc()
	switch {
	case !b.levels.tell(stream, time.Now()):
	case outOfResources(err):
		b.log.ErrorContext(ctx, "NATS has no storage left, work waits: give it more disk (max_file_store), or the account a higher limit",
			"stream", stream, "err", err)
	default:
		b.log.WarnContext(ctx, "a queue is full, publishing waits", "stream", stream, "err", err)
	}
	return func() { waiting.Dec(); ends() }
}

// levels are how full streams were when this process looked last, and the retry
// slot of each.
type levels struct {
	mu         sync.Mutex
	at, told   map[string]time.Time
	full       map[string]bool
	retrySlots map[string]chan struct{}
}

func newLevels() *levels {
	return &levels{at: map[string]time.Time{}, told: map[string]time.Time{}, full: map[string]bool{}, retrySlots: map[string]chan struct{}{}}
}

// retrySlot is held by the one caller at a time that retries on a full stream.
func (l *levels) retrySlot(stream string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retrySlots[stream] == nil {
		l.retrySlots[stream] = make(chan struct{}, 1)
	}
	return l.retrySlots[stream]
}

// old reports whether the caller is to look; the others go by what was seen last.
func (l *levels) old(stream string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.at[stream]) < lookEvery {
		return false
	}
	l.at[stream] = now
	return true
}

// tell reports whether it is time to log that a stream is full.
func (l *levels) tell(stream string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.told[stream]) < tellEvery {
		return false
	}
	l.told[stream] = now
	return true
}

func (l *levels) set(stream string, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full[stream] = full
}

func (l *levels) isFull(stream string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full[stream]
}

// look returns errFull if a stream is full by our own bound: the server refuses
// nothing on streams with schedules. A process that cannot look publishes.
func (b *Bus) look(ctx context.Context, s contract.Stream) error {
	if !s.Schedules || s.MaxBytes == 0 && s.MaxWaiting == 0 {
		return nil
	}
	if b.levels.old(s.Name, time.Now()) {
		ctx, cancel := context.WithTimeout(ctx, lagWithin)
		defer cancel()
		isFull, err := b.isFull(ctx, s)
		if err != nil {
			b.log.DebugContext(ctx, "couldn't look how full a queue is", "stream", s.Name, "err", err)
		}
		b.levels.set(s.Name, isFull)
	}
	if b.levels.isFull(s.Name) {
		return fmt.Errorf("stream %s: %w", s.Name, errFull)
	}
	return nil
}

func (b *Bus) isFull(ctx context.Context, s contract.Stream) (bool, error) {
	if s.MaxBytes > 0 {
		stream, err := b.js.Stream(ctx, s.Name)
		if err != nil {
			return false, err
		}
		info := stream.CachedInfo()
		return info.State.Bytes >= uint64(s.Sized(StoreOf(info.Config.Metadata)).MaxBytes), nil
	}
	for _, c := range contract.Consumers() {
		if c.Stream == s.Name {
			consumer, err := b.js.Consumer(ctx, c.Stream, c.Name)
			if err != nil {
				return false, err
			}
			info := consumer.CachedInfo()
			return info.NumPending >= uint64(s.Sized(StoreOf(info.Config.Metadata)).MaxWaiting), nil
		}
	}
	return false, nil
}

// putOff has a message come back that was handled, but whose outputs met a full
// queue. That was no attempt.
func (b *Bus) putOff(ctx context.Context, d *delivery) {
	d.Attempt--
	wait := afterFull + rand.N(afterFull)/2
	if err := b.scheduleRetry(ctx, d, wait, d.failed.Error()); err != nil {
		b.log.WarnContext(ctx, "could not put a message off, waiting for a minute", "subject", d.Subject, "err", err)
		b.report(ctx, d, d.raw.NakWithDelay(longestNak))
		return
	}
	b.report(ctx, d, d.raw.Ack())
}
