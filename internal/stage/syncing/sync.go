package syncing

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// sides are the local relay and another one as the sides of a sync.
func (s *Stage) sides(ctx context.Context, url string, timing *latency) (local, remote reconcile.Side) {
	local = reconcile.Side{Relay: localRelay{relayAt{s.Net, s.Local, nil}, s}, Name: s.Local, Accepts: s.Net.Accepts(ctx, s.Local)}
	remote = reconcile.Side{Relay: relayAt{s.Net, url, timing}, Name: url}
	if doc, _, err := s.Relays.Get(ctx, nostr.RelayKey(url)); err == nil && doc.Hornets != nil {
		remote.Accepts = negentropy.MinFrameLimit // it may be compared by libp2p, with small messages
		remote.Answers = remote.Accepts
	} else {
		remote.Accepts = s.Net.Accepts(ctx, url)
	}
	return local, remote
}

// syncJob makes the local relay complete for one filter, or the other relay, or
// both, and adds to the figures, also when it fails.
func (s *Stage) syncJob(ctx context.Context, local, remote reconcile.Side, j job, known *memory, result *events.SyncFinished) error {
	r, err := reconcile.Sync(ctx, local, remote, j.filter, reconcile.Options{
		Direction: j.direction,
		Refused:   known.has,
		Remember:  func(r reconcile.Refusal) { known.add(ctx, r) },
		Now:       s.Now,
	})
	if j.direction&reconcile.Down != 0 {
		result.Missing += r.OnlyB
	}
	result.Stored += r.ToA
	result.Sent += r.ToB
	result.Refused += r.Refused + r.HeldBack
	result.Invalid += r.Undelivered
	result.Messages += r.Messages
	if r.Why != "" {
		result.Why = r.Why
	}
	return err
}

// localRelay is the local relay. It is given nothing that its author wants to
// be gone from it, and what it is given, ingest is given before.
type localRelay struct {
	relayAt

	stage *Stage
}

// Publish writes an event to the local relay. Ingest comes first: the event may
// carry a list, or refer to what is missing, and once the local relay has it no
// sync looks at it again.
func (r localRelay) Publish(ctx context.Context, e nostr.Event) (reply reconcile.Reply, err error) {
	buried, err := r.stage.Deleted(ctx, &e)
	switch {
	case err != nil:
		return reply, err
	case buried:
		return reconcile.Refuse(reconcile.Reason{Cause: reconcile.ByRules, Code: reconcile.DeletedByAuthor}), nil
	}
	if received, ok := stage.Received(e); ok {
		if err := r.stage.Publish(ctx, received); err != nil {
			return reply, err
		}
	}
	return r.relayAt.Publish(ctx, e)
}

// relayAt is one of the relays.
type relayAt struct {
	net    Relays
	url    string
	timing *latency // may be nil
}

// latency is the least time that a relay has taken for an answer.
type latency struct{ nanoseconds atomic.Int64 }

func (l *latency) least() time.Duration { return time.Duration(l.nanoseconds.Load()) }

// since notes an answer to what was asked at a time.
func (l *latency) since(asked time.Time) {
	took := int64(max(time.Since(asked), 1))
	for l != nil {
		old := l.nanoseconds.Load()
		if old != 0 && old <= took || l.nanoseconds.CompareAndSwap(old, took) {
			return
		}
	}
}

func (r relayAt) Open(ctx context.Context, filter nostr.Filter, first []byte) (reconcile.Session, []byte, error) {
	asked := time.Now()
	session, answer, err := r.net.Negentropy(ctx, r.url, filter, first)
	if err == nil {
		r.timing.since(asked)
	}
	return session, answer, err
}

func (r relayAt) Query(ctx context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
	return r.net.Query(ctx, r.url, filter)
}

func (r relayAt) Publish(ctx context.Context, e nostr.Event) (reconcile.Reply, error) {
	return r.net.Publish(ctx, r.url, e)
}
