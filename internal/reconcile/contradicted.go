package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// sampleBytes bounds what is read of a side for a sample.
	sampleBytes = 256 << 10
	// sampledAge is how far back samples reach, at least.
	sampledAge = 5 * 365 * 24 * time.Hour
	// seconds is how many events a side is asked about one by one, and idsPerSecond
	// bounds the ids of such a session.
	seconds      = 3
	idsPerSecond = 10_000
)

// spotCheck is how far REQs have been asked whether they say what the sessions did.
type spotCheck struct {
	round int
	odd   [2]odd // by the side that lacks the events
}

// odd are events that one side delivers and the other does not, although the
// sessions of both say that they have the same.
type odd struct {
	events []nostr.Event
	blamed *session // which of the two is taken for the one that contradicts itself
}

// contradicted asks whether REQs say what has been proved: a few events of a random
// time that one side delivers are asked of the other. What does not come may have
// arrived during the sync, so all is compared once more. If it does not come then,
// either, the side that contradicts itself is listed, and all is compared again.
// Whoever is listed cannot contradict itself any more: were it the wrong one, it is
// the other's turn.
func (r *run) contradicted(ctx context.Context) (again bool, err error) {
	if r.opts.Sample == 0 || r.why != "" || r.sessions[0].listed && r.sessions[1].listed && r.spot.round == 0 {
		return false, nil
	}
	for s := range r.spot.odd {
		to, odd := negentropy.Side(s), &r.spot.odd[s]
		if !r.opts.Direction.writes(to) {
			continue
		}
		if r.spot.round == 0 {
			odd.events, err = r.sample(ctx, r.sessions[to.Other()])
		}
		if err == nil && len(odd.events) > 0 {
			odd.events, err = r.lacking(ctx, to, odd.events)
		}
		if err == nil && len(odd.events) > 0 && r.spot.round > 0 {
			err = r.blame(ctx, to, odd)
		}
		if err != nil {
			return false, err
		}
		again = again || len(odd.events) > 0 && r.why == ""
	}
	r.spot.round++
	return again, nil
}

// sample reads a few events of a side, of a random time: as often of the last hour
// as of the last years. There are none of a side that lists no events.
func (r *run) sample(ctx context.Context, from *session) (list []nostr.Event, err error) {
	newest := r.start - settledAge - 1
	if r.filter.Until > 0 {
		newest = min(newest, r.filter.Until)
	}
	oldest := max(r.filter.Since, newest-int64(sampledAge.Seconds()))
	span := float64(newest - oldest)
	if span < 0 {
		return nil, nil
	}
	filter := r.filter
	filter.Until = max(newest-int64(math.Pow(span+1, rand.Float64()))+1, r.filter.Since, 1)
	for range 2 {
		size := 0
		filter.Limit = min(r.opts.Sample, from.takes.PageSize())
		_, err = from.each(ctx, filter, func(e *nostr.Event) (bool, error) {
			if size += weight(e); r.settled(e) && r.filter.Match(e) {
				list = append(list, *e)
			}
			return len(list) < filter.Limit && size < sampleBytes, nil
		})
		if len(list) > 0 || err != nil {
			break
		}
		filter.Until = newest // nothing is as old
	}
	if err != nil && ctx.Err() == nil {
		list, err = nil, nil // it shows nothing by REQ, then, that could contradict its sessions
	}
	return list, err
}

// lacking returns those of the events that a side does not deliver, without those
// that it cannot or must not be given.
func (r *run) lacking(ctx context.Context, to negentropy.Side, list []nostr.Event) (lacks []nostr.Event, err error) {
	l := r.sessions[to]
	list = slices.DeleteFunc(list, func(e nostr.Event) bool {
		id, err := negentropy.ParseID(e.ID)
		_, _, refused := r.verdicts.refused(to, id)
		return err != nil || refused || r.forbidden(to, &e) != "" || r.opts.Refused != nil && r.opts.Refused(to, id)
	})
	forged := map[string]bool{}
	if l.listed { // its list has them, as what cannot be read; sessions would contradict what it delivers
		ctx = WithUnread(ctx, func(u Unread) { forged[u.Claim.ID] = true })
	}
	lacks, err = r.missing(ctx, l, list, r.spot.round)
	lacks = slices.DeleteFunc(lacks, func(e nostr.Event) bool { return forged[e.ID] })
	if err != nil && ctx.Err() == nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			r.why = fmt.Sprintf("%s does not deliver a sample of what it lists: %v", l.Name, errors.Unwrap(err))
		}
		lacks, err = nil, nil
	}
	return lacks, err
}

// blame finds out which side contradicts itself, and has it listed from then on.
func (r *run) blame(ctx context.Context, to negentropy.Side, odd *odd) error {
	from, lacks := r.sessions[to.Other()], r.sessions[to]
	guilty := from
	switch {
	case from.listed && lacks.listed:
		r.why = fmt.Sprintf("%s delivers events that %s does not list, though both are listed", from.Name, lacks.Name)
		return nil
	case from.listed:
		guilty = lacks
	case lacks.listed:
	default:
		claims, err := r.claims(ctx, lacks, odd.events)
		if err != nil {
			return err
		}
		if claims {
			guilty = lacks
		}
	}
	if odd.blamed != nil { // the wrong one
		odd.blamed.doubt = Doubt{}
	}
	odd.blamed = guilty
	if guilty == from {
		guilty.doubt.Hidden += len(odd.events)
	} else {
		guilty.doubt.Absent += len(odd.events)
	}
	_, err := guilty.each(ctx, nostr.Filter{Until: r.start, Limit: 1}, func(*nostr.Event) (more bool, err error) { return false, nil })
	if errors.Is(err, errors.ErrUnsupported) || RefusalOf(err) != nil { // it cannot be listed
		r.why, err = guilty.doubt.Sentence(guilty.Name), nil
	}
	guilty.listed, guilty.list = true, nil
	return err
}

// claims reports whether a side says that it has the events, or most of a few of
// them, in sessions about the very seconds of these. What it did not list in one
// about a longer time was cut short then, as the sessions of some honest relays are.
func (r *run) claims(ctx context.Context, l *session, list []nostr.Event) (bool, error) {
	for _, e := range pick(list, seconds) {
		id, err := negentropy.ParseID(e.ID)
		if err != nil {
			return false, err
		}
		lacks := false
		ok, err := r.ask(ctx, l, window{since: e.CreatedAt, until: e.CreatedAt}.filter(r.filter), negentropy.NewBridge(negentropy.BridgeOptions{
			A:     l.options(r.filter),
			B:     negentropy.SideOptions{Store: negentropy.NewVector([]negentropy.Item{{Timestamp: uint64(e.CreatedAt), ID: id}})},
			OnlyB: func(negentropy.ID) { lacks = true }, MaxMessages: idsPerSecond, MaxDifferences: idsPerSecond,
		}))
		if !ok || lacks || err != nil {
			return false, err
		}
	}
	return true, nil
}
