package reconcile

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// attack syncs with a relay that is hostile and returns how it ended. The other
// one is honest and holds 500 events.
func attack(t *testing.T, d Direction, change func(b *fake)) (Result, error) {
	t.Helper()
	a, b := newFake(notes(0, 500)...), newFake(notes(250, 500)...)
	change(b)
	r, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{}, options(d))
	if err == nil || r.Complete {
		t.Fatalf("no error, %+v", r)
	}
	if !strings.Contains(err.Error(), "b: ") && !strings.Contains(err.Error(), "side B: ") {
		t.Errorf("the error does not say who: %v", err)
	}
	return r, err
}

// liar answers every message from another set, none of which it has.
func liar(size int) func([]byte) ([]byte, error) {
	next := 1_000_000
	return func(msg []byte) ([]byte, error) {
		next += size
		set := negentropy.NewVector(items(notes(next, size)))
		return negentropy.NewReconciler(set, negentropy.Options{}).Respond(msg)
	}
}

// A relay whose sessions show what it has not got is dropped, or listed instead
// if it turns out to have what it does not show.
func TestEndlessListsOfWhatIsNotThere(t *testing.T) {
	for _, size := range []int{20, 400, 5000} {
		a, b := newFake(notes(0, 500)...), newFake(notes(250, 500)...)
		want := union(a.ids(), b.ids())
		b.respond = liar(size)
		r, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{}, options(Both))
		switch {
		case err == nil:
			if !slices.Equal(a.ids(), want) || !slices.Equal(b.ids(), want) {
				t.Errorf("%d: a has %d, b has %d, %+v", size, len(a.events), len(b.events), r)
			}
		case !errors.Is(err, ErrMisbehaving) && !errors.Is(err, negentropy.ErrNoProgress) && !errors.Is(err, ErrUnproved):
			t.Errorf("%d: %v", size, err)
		}
		if r.Undelivered > 2*highWater || r.Messages > 1000 {
			t.Errorf("%d: %+v", size, r.Figures)
		}
	}
}

func TestRangesThatNeverShrink(t *testing.T) {
	for name, respond := range map[string]func([]byte) ([]byte, error){
		"echo":    func(msg []byte) ([]byte, error) { return msg, nil },
		"nothing": func([]byte) ([]byte, error) { return []byte{0x61}, nil },
	} {
		if _, err := attack(t, Both, func(b *fake) { b.respond = respond }); !errors.Is(err, negentropy.ErrNoProgress) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGarbage(t *testing.T) {
	for _, garbage := range []string{"hello", "a\x00\x00\x02\xff\xff\xff\xff\x7f", "b"} {
		_, err := attack(t, Both, func(b *fake) {
			b.respond = func([]byte) ([]byte, error) { return []byte(garbage), nil }
		})
		if !errors.Is(err, negentropy.ErrMalformed) && !errors.Is(err, negentropy.ErrVersion) {
			t.Errorf("%q: %v", garbage, err)
		}
	}
}

func TestMessagesAreBounded(t *testing.T) {
	a, b := newFake(notes(0, 3000)...), newFake(notes(3000, 3000)...)
	o := options(None)
	o.MaxMessages = 5
	if r, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{}, o); !errors.Is(err, negentropy.ErrLimit) || r.Messages > 10 {
		t.Errorf("%v, %+v", err, r)
	}
}

// A NEG-MSG now and then, for ever.
func TestAnswersThatDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		r, err := attack(t, None, func(b *fake) {
			set := negentropy.NewVector(items(notes(10_000, 20_000)))
			honest := negentropy.NewReconciler(set, negentropy.Options{FrameLimit: negentropy.MinFrameLimit})
			b.respond = func(msg []byte) ([]byte, error) {
				time.Sleep(25 * time.Second)
				return honest.Respond(msg)
			}
		})
		if !errors.Is(err, ErrMisbehaving) || time.Since(begun) > 2*patience {
			t.Errorf("%v after %s, %+v", err, time.Since(begun), r.Figures)
		}
	})
}

func drip(after time.Duration, next func(n int) nostr.Event) func(context.Context, nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(ctx context.Context, f nostr.Filter) iter.Seq2[nostr.Event, error] {
		return func(yield func(nostr.Event, error) bool) {
			for n := 0; ; n++ {
				if err := sleep(ctx, after); err != nil {
					yield(nostr.Event{}, err)
					return
				}
				if !yield(next(n), nil) {
					return
				}
			}
		}
	}
}

func TestEventsThatDrip(t *testing.T) {
	for _, no77 := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			_, err := attack(t, Down, func(b *fake) {
				b.no77 = no77
				b.query = drip(20*time.Second, func(n int) nostr.Event { return note(250+n, today) })
			})
			if !errors.Is(err, ErrMisbehaving) || time.Since(begun) > 2*readTime {
				t.Errorf("%v after %s", err, time.Since(begun))
			}
		})
	}
}

// Pages of ever new events of one second.
func TestEndlessPages(t *testing.T) {
	n := 0
	_, err := attack(t, Down, func(b *fake) {
		b.no77 = true
		b.query = func(_ context.Context, f nostr.Filter) iter.Seq2[nostr.Event, error] {
			return func(yield func(nostr.Event, error) bool) {
				for range f.Limit {
					n++
					if !yield(nostr.Event{ID: fmt.Sprintf("%064x", n), CreatedAt: today}, nil) {
						return
					}
				}
			}
		}
	})
	if !errors.Is(err, ErrMisbehaving) || n > 3*maxListed {
		t.Errorf("%v after %d events", err, n)
	}
}

// khatru drops a session that is idle for 7 s, which a slow writer makes it.
func TestSessionsAreOpenedAgainAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := notes(0, 3*highWater)
		a, b := newFake(list...), newFake()
		a.idle, b.idle = 7*time.Second, 7*time.Second
		a.frame, b.frame = negentropy.DefaultMessageLimit, negentropy.DefaultMessageLimit
		b.write = func(ctx context.Context) error { return sleep(ctx, 200*time.Millisecond) }
		r, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{}, options(Up))
		if err != nil || len(b.events) != len(list) || !r.Complete || a.opened <= r.Passes {
			t.Errorf("%v: %d events, %d sessions, %+v", err, len(b.events), a.opened, r.Figures)
		}
	})
}

// A second that holds more than a page cannot be listed; the result says so.
func TestASecondThatHoldsMoreThanAPage(t *testing.T) {
	var list []nostr.Event
	for n := range 800 {
		list = append(list, note(n, today))
	}
	a, b := newFake(), newFake(list...)
	b.no77 = true
	r := mustSync(t, a, b, options(Down))
	if r.Complete || len(a.events) < pager.Size-maxSmaller || !strings.Contains(r.Why, "one second") {
		t.Errorf("%d events, %+v", len(a.events), r)
	}
}
