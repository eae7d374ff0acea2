package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
	"github.com/relaymesh/relaymesh/pkg/outbox"
)

// bus stores messages, for the test once per id of an event; while it is away, publishing
// fails: at once, or by the context's end, and now and then after storing.
type bus struct {
	mu     sync.Mutex
	away   bool
	calls  int
	stored map[string]outbox.Message
}

var errAway = errors.New("away")

func (b *bus) publish(ctx context.Context, m outbox.Message) error {
	b.mu.Lock()
	b.calls++
	away, calls := b.away, b.calls
	if !away || calls%7 == 0 {
		if b.stored == nil {
			b.stored = map[string]outbox.Message{}
		}
		id, _ := nostr.PeekID(m.Data)
		b.stored[id] = m
	}
	b.mu.Unlock()
	if away && calls%3 == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	if away {
		return errAway
	}
	return nil
}

func (b *bus) set(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

func (b *bus) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.stored)
}

func event(i int) []byte { return fmt.Appendf(nil, `{"id":"%064x","kind":1}`, i) }

func TestAMinuteWithoutTheBusLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		b.set(true)
		var failures []error
		out := outbox.New(b.publish, outbox.Options{
			Sender:  "wss://relay.example.com",
			Dropped: func(n int) { t.Errorf("%d events were dropped", n) },
			Failed:  func(err error) { failures = append(failures, err) },
		})
		const n = 60 * 1000
		began := time.Now()
		for i := range n {
			if !out.Put(event(i)) {
				t.Fatalf("no room for event %d", i)
			}
			time.Sleep(time.Millisecond)
		}
		if waited := time.Since(began) - n*time.Millisecond; waited != 0 {
			t.Errorf("the relay waited for %s", waited)
		}
		b.set(false)
		if lost := out.Close(t.Context()); lost != 0 || b.len() != n {
			t.Errorf("%d of %d events were stored, %d lost", b.len(), n, lost)
		}
		m := b.stored[fmt.Sprintf("%064x", 7)]
		if m.Subject != events.SubjectEventReceived || !slices.Equal(m.Data, event(7)) ||
			m.Header[events.HeaderSender][0] != "wss://relay.example.com" {
			t.Errorf("stored %+v", m)
		}
		if len(failures) < 2 || len(failures) > 7 {
			t.Errorf("told of %d failures in a minute", len(failures))
		}
	})
}

func TestWhatDoesNotFitIsDroppedAndTold(t *testing.T) {
	for name, o := range map[string]outbox.Options{"events": {MaxEvents: 200}, "bytes": {MaxBytes: 200 * len(event(0))}} {
		synctest.Test(t, func(t *testing.T) {
			var b bus
			b.set(true)
			told := 0
			o.Dropped = func(n int) { told += n }
			out := outbox.New(b.publish, o)
			taken := 0
			for i := range 1000 {
				if out.Put(event(i)) {
					taken++
				}
			}
			if taken != 200 {
				t.Errorf("%s: took %d events, want 200", name, taken)
			}
			if told != 1 {
				t.Errorf("%s: told of %d at once, want of the first", name, told)
			}
			b.set(false)
			if lost := out.Close(t.Context()); lost != 0 || b.len() != 200 || told != 800 {
				t.Errorf("%s: stored %d, lost %d, told of %d", name, b.len(), lost, told)
			}
			if out.Put(event(0)) || !errors.Is(out.PutWait(t.Context(), event(0)), outbox.ErrClosed) {
				t.Errorf("%s: takes events after Close", name)
			}
		})
	}
}

func TestWhatIsTooLongIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		told := 0
		out := outbox.New(b.publish, outbox.Options{Dropped: func(n int) { told += n }})
		fits := append(event(0), bytes.Repeat([]byte(" "), nostr.MaxEventBytes-len(event(0)))...)
		long := append(event(1), bytes.Repeat([]byte(" "), nostr.MaxEventBytes-len(event(1))+1)...)
		if out.Put(long) || told != 1 {
			t.Errorf("an event of %d bytes is taken, told of %d", len(long), told)
		}
		if err := out.PutWait(t.Context(), long); err == nil {
			t.Errorf("PutWait takes an event of %d bytes", len(long))
		}
		small := outbox.New(b.publish, outbox.Options{MaxBytes: len(event(0)) - 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := small.PutWait(ctx, event(0)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("PutWait of an event that there is never room for: %v", err)
		}
		if !out.Put(fits) {
			t.Errorf("an event of %d bytes is not taken", len(fits))
		}
		if lost := out.Close(t.Context()); lost != 0 || b.len() != 1 {
			t.Errorf("%d stored, %d lost", b.len(), lost)
		}
	})
}

func TestPutWaitWaitsForSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		b.set(true)
		out := outbox.New(b.publish, outbox.Options{MaxEvents: 10})
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for i := range 10 {
			if err := out.PutWait(short, event(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := out.PutWait(short, event(10)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a full outbox: %v", err)
		}
		b.set(false)
		for i := range 100 {
			if err := out.PutWait(t.Context(), event(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := out.Flush(t.Context()); err != nil || b.len() != 100 {
			t.Errorf("flushed %d events, %v", b.len(), err)
		}
		out.Close(t.Context())
	})
}

func TestCloseGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := outbox.New(func(ctx context.Context, _ outbox.Message) error { <-ctx.Done(); return ctx.Err() }, outbox.Options{})
		for i := range 100 {
			out.Put(event(i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if lost := out.Close(ctx); lost != 100 || time.Since(began) != 3*time.Second {
			t.Errorf("%d lost after %s", lost, time.Since(began))
		}
	})
}

func TestAPipelineWithAPrefixGetsItsOwn(t *testing.T) {
	var subject string
	out := outbox.New(func(_ context.Context, m outbox.Message) error { subject = m.Subject; return nil }, outbox.Options{Prefix: "alice"})
	out.Put(event(1))
	if lost := out.Close(t.Context()); lost != 0 || subject != "alice."+events.SubjectEventReceived {
		t.Errorf("published on %q, %d lost", subject, lost)
	}
}
