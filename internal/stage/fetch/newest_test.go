package fetch

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// script is a relay that gives events, each after a time, and then ends in its way.
type script struct {
	Relays
	reconcile.Relay // what the tests do not need
	gives           []nostr.Event
	each            time.Duration
	ends            error // nil: never
}

func (s script) At(context.Context, string) (reconcile.Relay, error) { return s, nil }

func (s script) Query(ctx context.Context, _ ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		for _, e := range s.gives {
			select {
			case <-time.After(s.each):
			case <-ctx.Done():
				yield(nostr.Event{}, ctx.Err())
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if s.ends == nil {
			<-ctx.Done()
			yield(nostr.Event{}, ctx.Err())
			return
		}
		yield(nostr.Event{}, s.ends)
	}
}

func TestWhatCameIsTheAnswerOfARelayThatNeverEnds(t *testing.T) {
	author, cut := strings.Repeat("a1", 32), errors.New("cut off")
	version := func(id string, at int64, d ...string) nostr.Event {
		e := nostr.Event{ID: id, PubKey: author, Kind: 30023, CreatedAt: at}
		for _, value := range d {
			e.Tags = append(e.Tags, nostr.Tag{"d", value})
		}
		return e
	}
	twice := []nostr.Event{version("1", 1, "x"), version("2", 2, "x")}
	for name, tc := range map[string]struct {
		relay script
		want  string
		takes time.Duration
	}{
		"no end":                       {script{gives: []nostr.Event{version("1", 1, "x")}}, "1", moreTimeout},
		"no end, two versions":         {script{gives: twice}, "2", moreTimeout},
		"versions without an end":      {script{gives: twice, each: time.Second}, "1", time.Second + moreTimeout},
		"cut off after one":            {script{gives: []nostr.Event{version("1", 1, "x")}, ends: cut}, "1", 0},
		"cut off before":               {script{ends: cut}, "", 0},
		"nothing, and no end":          {script{}, "", askTimeout},
		"another address":              {script{gives: []nostr.Event{version("1", 1, "y", "x")}, ends: cut}, "", 0},
		"another address, newer":       {script{gives: []nostr.Event{version("2", 2, "y", "x"), version("1", 1, "x")}, ends: cut}, "1", 0},
		"the address, and a second d":  {script{gives: []nostr.Event{version("1", 1, "x", "y")}, ends: cut}, "1", 0},
		"another address, and no end":  {script{gives: []nostr.Event{version("1", 1, "y", "x")}}, "", askTimeout},
		"an older one after the newer": {script{gives: []nostr.Event{version("2", 2, "x"), version("1", 1, "x")}}, "2", moreTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &search{stage: &Stage{Net: tc.relay}, need: events.NoteMissing{Address: "30023:" + author + ":x"}}
			begun := time.Now()
			w := f.ask(t.Context(), "wss://relay.example.com")
			if got := w.event; (got == nil) != (tc.want == "") || got != nil && got.ID != tc.want || (got == nil) != (w.err != nil) {
				t.Errorf("%s: %+v, %v, want %q", name, got, w.err, tc.want)
			}
			if took := time.Since(begun); took != tc.takes {
				t.Errorf("%s: took %s, want %s", name, took, tc.takes)
			}
		})
	}
}

// keeper is a relay that matches tags as they stand.
type keeper struct {
	Relays
	reconcile.Relay
	events []nostr.Event
}

func (k keeper) At(context.Context, string) (reconcile.Relay, error) { return k, nil }

func (k keeper) Query(_ context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		for _, f := range filters {
			for _, e := range k.events {
				if f.Match(&e) && !yield(e, nil) {
					return
				}
			}
		}
	}
}

// An event without a d tag is at the address whose d is empty.
func TestAnEventWithoutDIsFound(t *testing.T) {
	author := strings.Repeat("a1", 32)
	bare := nostr.Event{ID: "bare", PubKey: author, Kind: 30023, CreatedAt: 5}
	other := nostr.Event{ID: "other", PubKey: author, Kind: 30023, CreatedAt: 9, Tags: []nostr.Tag{{"d", "x"}}}
	for d, want := range map[string]string{"": "bare", "x": "other", "y": ""} {
		f := &search{
			stage: &Stage{Net: keeper{events: []nostr.Event{other, bare}}},
			need:  events.NoteMissing{Address: "30023:" + author + ":" + d},
		}
		if got := f.ask(t.Context(), "wss://relay.example.com").event; (got == nil) != (want == "") || got != nil && got.ID != want {
			t.Errorf("d %q: %+v, want %q", d, got, want)
		}
	}
}

// untouched is a local relay that must not be asked.
type untouched struct{ Relays }

func (untouched) At(context.Context, string) (reconcile.Relay, error) { return nil, nil }

// The rules are for what is written to the local relay.
func TestWhatIsOnlyPrintedMayBeAnything(t *testing.T) {
	for name, e := range map[string]nostr.Event{
		"protected": {Kind: 1, Tags: []nostr.Tag{{"-"}}},
		"expired":   {Kind: 1, Tags: []nostr.Tag{{"expiration", "1"}}},
		"ephemeral": {Kind: 20001},
		"future":    {Kind: 1, CreatedAt: 1 << 40},
	} {
		found := reply{url: "wss://relay.example.com/", event: &e}
		for local, held := range map[string]bool{"": false, "wss://relay.example.com": false, "wss://home.example.com": true} {
			s := &Stage{Local: local, Net: untouched{}, Now: func() time.Time { return time.Unix(1_700_000_000, 0) }}
			if why, err := s.land(t.Context(), found); err != nil || (why != "") != held {
				t.Errorf("%s, local relay %q: %q, %v", name, local, why, err)
			}
		}
	}
}
