package reconcile

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Relays hang up on messages of more than 128 KiB (strfry) or 512,000 bytes
// (khatru). A session may be dropped at any time, so the longest message must fit
// beside a filter of 500 authors, in the NEG-OPEN that begins it anew.
func TestMessagesLeaveRoomForTheFilter(t *testing.T) {
	filter := nostr.Filter{Authors: slices.Repeat([]string{strings.Repeat("a", 64)}, 500)}
	for accepts, most := range map[int]int{0: 131_072, 60_000: 131_072, 32_668: 65_536} {
		l := &session{takes: Limits{Accepts: accepts}}
		if open := len(nostr.Encode(filter)) + 2*l.options(filter).Accepts + 100; open > most {
			t.Errorf("NEG-OPEN may have %d characters, at most %d are taken", open, most)
		}
	}
}

// A relay that answers a REQ that it has seen before from memory is not told to
// have kept nothing of what was written in between.
func TestARelayThatAnswersFromMemory(t *testing.T) {
	all := make([]nostr.Event, 700)
	for i := range all {
		all[i] = note(i, today-10_000+int64(i/3))
	}
	a, b := newFake(all[:400]...), newFake(all[250:]...)
	b.no77 = true
	memory := map[string][]nostr.Event{}
	b.query = func(_ context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
		key := string(nostr.Encode(filter))
		b.mu.Lock()
		out, known := memory[key]
		b.mu.Unlock()
		if !known {
			out = b.matching(filter)
			out = out[:min(len(out), filter.Limit, 100)]
			b.mu.Lock()
			memory[key] = out
			b.mu.Unlock()
		}
		return func(yield func(nostr.Event, error) bool) {
			for _, e := range out {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
	want := union(a.ids(), b.ids())
	r := mustSync(t, a, b, options(Both))
	if !r.Complete || r.Left != 0 || r.ToA != 300 || r.ToB != 250 || !slices.Equal(a.ids(), want) || !slices.Equal(b.ids(), want) {
		t.Errorf("%+v", r.Figures)
	}
}

// A relay that drops a session, and then finds the set too large to go on, does
// so while what was found is still being transferred. What becomes of that is
// told all the same.
func TestTooLargeInTheMidst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// What is new is found before the one event deep among the shared ones.
		const day = 86_400
		var shared []nostr.Event
		for i := range 20_000 {
			shared = append(shared, note(i, today-700*day+int64(i)*1000))
		}
		fresh := []nostr.Event{note(20_000, today-700*day)}
		for i := range 2000 {
			fresh = append(fresh, note(20_001+i, today-400*day+int64(i)*10_000))
		}
		a, b := newFake(shared...), newFake(slices.Concat(shared, fresh)...)
		a.refuse = func(*nostr.Event) string { return "blocked: not here" }
		a.write = func(ctx context.Context) error { return sleep(ctx, 10*time.Second) }
		o, found := options(Both), atomic.Int64{}
		o.Progress = func(f Figures) { found.Store(int64(f.OnlyB)) }
		set := negentropy.NewReconciler(negentropy.NewVector(items(shared)), negentropy.Options{})
		a.respond = func(msg []byte) ([]byte, error) {
			if found.Load() >= 1000 {
				a.respond, a.maxSet = nil, 15_000
				return nil, ErrInterrupted
			}
			return set.Respond(msg)
		}
		r, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{}, o)
		if err != nil || !r.Complete || a.maxSet == 0 || r.Refused != len(fresh) || r.Left != len(fresh) {
			t.Errorf("refused %d, told of %d, want %d; complete %t, %v", r.Refused, r.Left, len(fresh), r.Complete, err)
		}
	})
}

// A relay that refuses a request for the moment is asked again after a wait,
// whatever the request, and whether something had come or not; one that goes on
// refusing ends the sync, with its words.
func TestRefusalsForTheMoment(t *testing.T) {
	for _, words := range []string{"rate-limited: slow down", "error: shutting down", "RATE-LIMITED: too many messages", "error:"} {
		for _, after := range []int{0, 3} {
			synctest.Test(t, func(t *testing.T) {
				a, b := newFake(), newFake(notes(0, 50)...)
				b.no77 = true
				asked, begun := 0, time.Now()
				b.query = refuseEvery(b, func() bool { asked++; return asked%2 == 1 }, after, words)
				r := mustSync(t, a, b, options(Down))
				if !r.Complete || r.Left != 0 || r.ToA != 50 || time.Since(begun) < 700*time.Millisecond {
					t.Errorf("%s, after %d events: %+v in %s", words, after, r, time.Since(begun))
				}
			})
		}
		synctest.Test(t, func(t *testing.T) {
			a, b := newFake(), newFake(notes(0, 50)...)
			b.no77 = true
			b.query = refuseEvery(b, func() bool { return true }, 0, words)
			_, err := Sync(t.Context(), a.side("a"), b.side("b"), nostr.Filter{}, options(Down))
			if refused := RefusalOf(err); refused == nil || refused.Reason.Text != words {
				t.Errorf("%s for ever: %v", words, err)
			}
		})
	}
	for words, want := range map[string]bool{"rate-limited: too many messages": true, "error: none here": false, "blocked: no": false} {
		err := openError(NewSessionRefusal(words))
		if ForTheMoment(err) != want || !errors.Is(err, ErrNoNegentropy) {
			t.Errorf("a session, %q: %v", words, err)
		}
	}
}

// Words about the names in a filter are told from those about what it finds, how many
// filters there are, and what goes on already: only they mean that fewer names may be
// asked for.
func TestWordsAboutTheNamesInAFilter(t *testing.T) {
	for words, want := range map[string]bool{
		"error: too many authors": true, "invalid: too many authors in a filter, at most 100": true,
		"error: bad req: filter item too large":      true,
		"blocked: filters may name up to 50 pubkeys": true, "error: max authors exceeded": true, "filter exceeds maxAuthors (limit 256)": true,
		"error: filter too large": true, "too many pubkeys": true,
		"blocked: too many query results": false, "error: too many filters": false, "error: too many subscriptions": false,
		"rate-limited: too many authors asked for": false, "blocked: no": false, "restricted: authors only, at most": false,
		"error: too many requests": false,
	} {
		for _, err := range []error{NewQueryRefusal(words), openError(NewSessionRefusal(words))} {
			if got := errors.Is(err, ErrTooMany); got != want || want && ForTheMoment(err) {
				t.Errorf("%q: %v", words, err)
			}
		}
	}
}

// refuseEvery answers a REQ, and where it refuses ends it after some events.
func refuseEvery(f *fake, refuses func() bool, after int, words string) func(context.Context, nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(_ context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
		f.mu.Lock()
		refused := refuses()
		f.mu.Unlock()
		out := f.matching(filter)
		return func(yield func(nostr.Event, error) bool) {
			for i, e := range out[:min(len(out), filter.Limit)] {
				if refused && i == after {
					break
				}
				if !yield(e, nil) {
					return
				}
			}
			if refused {
				yield(nostr.Event{}, NewRefusal(ParseReason(words)))
			}
		}
	}
}

// A relay that says when it may be asked again is waited for, and that time is not
// held against it: neither as the time of a REQ nor as that of its answers.
func TestAPauseThatTheRelayAsksForIsNotItsSlowness(t *testing.T) {
	all := notes(0, 3)
	for name, ask := range map[string]func(context.Context, *session) error{
		"a REQ": func(ctx context.Context, l *session) error {
			_, err := l.each(ctx, nostr.Filter{Limit: 5}, func(*nostr.Event) (bool, error) { return true, nil })
			return err
		},
		"events of a sample": func(ctx context.Context, l *session) error {
			r := newRun(l.Side, l.Side, nostr.Filter{}, options(None))
			_, err := r.gives(ctx, l, []string{all[0].ID}, 0)
			return err
		},
		"a session": func(ctx context.Context, l *session) error {
			_, err := l.exchange(ctx, nostr.Filter{}, agreed)
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, pauses := newFake(all...), 0
			pause := func() error {
				if pauses++; pauses > 4 {
					return nil
				}
				return fmt.Errorf("%w: %w", ErrInterrupted, &LaterError{Until: time.Now().Add(maxLater - time.Second), Err: errBroken})
			}
			b.respond = func([]byte) ([]byte, error) { return agreed, pause() }
			b.query = func(context.Context, nostr.Filter) iter.Seq2[nostr.Event, error] {
				return func(yield func(nostr.Event, error) bool) {
					if err := pause(); err != nil {
						yield(nostr.Event{}, err)
						return
					}
					yield(all[0], nil)
				}
			}
			l := &session{Side: b.side("b")}
			l.alive.Store(true)
			if err := ask(t.Context(), l); err != nil || pauses != 5 {
				t.Errorf("%s: asked %d times, %v", name, pauses, err)
			}
		})
	}
}
