package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Responder answers a peer that syncs with a relay through us, in a session
// which the peer leads: it compares, and reads and writes as it finds fit. The
// peer's messages are passed on to the relay and its answers back, so that no
// set is held here; a relay without NIP-77 is listed. One goroutine uses it.
type Responder struct {
	run    *run
	filter nostr.Filter
	asked  bool // for its limits
}

// NewResponder answers for a relay. Of the options, UploadPrivate is about what
// the peer may read, Remember and Now are as in a sync, and the rest plays no
// part; the relay is side A.
func NewResponder(relay Side, peer string, o Options) *Responder {
	r := newRun(relay, Side{Name: peer}, nostr.Filter{}, o)
	return &Responder{run: r}
}

func (r *Responder) relay() *session { return r.run.sessions[negentropy.SideA] }

// within returns the relay when it is known what it takes.
func (r *Responder) within(ctx context.Context) *session {
	l := r.relay()
	if !r.asked {
		r.asked, l.takes = true, l.Limits(ctx)
	}
	return l
}

// Open begins a comparison of what matches the filter.
func (r *Responder) Open(filter nostr.Filter) {
	r.relay().hangUp()
	r.filter, r.relay().list, r.relay().unread = filter, nil, nil
}

// Answer answers a message of the comparison.
func (r *Responder) Answer(ctx context.Context, msg []byte) ([]byte, error) {
	l := r.within(ctx)
	if !l.listed {
		answer, err := l.exchange(ctx, r.filter, msg)
		if !errors.Is(err, ErrNoNegentropy) {
			return answer, err
		}
		l.listed = true
	}
	if l.list == nil {
		w := window{since: r.filter.Since, until: r.filter.Until}
		since, _, err := l.fill(ctx, r.filter, w, r.run.enough)
		if err != nil {
			return nil, err
		}
		if since > w.since {
			return nil, l.fail(fmt.Errorf("%w: it holds too many events", ErrTooLarge))
		}
		l.start(w)
	}
	return l.exchange(ctx, r.filter, msg)
}

// Read reads events from the relay and passes on those that the peer may have.
func (r *Responder) Read(ctx context.Context, ids []negentropy.ID, add func(nostr.Event) error) error {
	want := make(map[string]negentropy.ID, len(ids))
	for _, id := range ids {
		want[id.String()] = id
	}
	for len(want) > 0 {
		batch, err := r.run.fetch(ctx, r.within(ctx), want)
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, e := range batch {
			if r.run.forbidden(negentropy.SideB, &e) != "" {
				continue
			}
			if err := add(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// Write writes what the rules allow of a batch to the relay, and waits for every
// OK. What the relay refuses is no error: nobody could be told.
func (r *Responder) Write(ctx context.Context, batch []nostr.Event) error {
	return r.run.write(ctx, negentropy.SideA, batch)
}

// Figures say what the session has come to: what was written is ToA.
func (r *Responder) Figures() Figures { return r.run.tally.figures() }

// Close ends the session with the relay.
func (r *Responder) Close() { r.relay().hangUp() }
