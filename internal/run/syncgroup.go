package run

import (
	"context"
	"errors"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// SyncGroup is one sync of any number of relays, after which all of them hold the
// same: a star, in whose middle is the first that can be reached. What the others
// have goes there first, and from there to each what it lacks; an event is read from
// one relay only.
type SyncGroup struct {
	Sync // but for A and B; Down and Up are both set, or neither

	Relays []string // normalised URLs, or multiaddrs with /p2p/
}

// SyncMember is what became of one relay of a group.
type SyncMember struct {
	Relay string
	// Middle is the relay with which it was compared; "" for the middle itself, and
	// for those that could not be.
	Middle string
	// SyncResult is that of the last comparison, with the figures of all: A is the
	// middle.
	SyncResult

	Err error // why it was not synced, if it was not
}

// Run syncs until it is done or ctx ends, and returns a member for each relay, in
// their order. The error is about all of them: ctx ended, or no two can be reached.
func (g SyncGroup) Run(ctx context.Context) (members []SyncMember, err error) {
	relays, err := g.relays(ctx, g.Relays, &SyncResult{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, relays.closeAll()) }()
	g.cache = &reconcile.Cache{}
	for _, url := range g.Relays {
		members = append(members, SyncMember{Relay: url})
	}
	for {
		s := star{SyncGroup: g, at: relays, members: members, doubts: map[string]reconcile.Doubt{}, known: newLacking()}
		there := s.there()
		if len(there) < 2 {
			return members, s.failed()
		}
		there[0].Err = s.around(ctx, there[0], there[1:])
		switch {
		case ctx.Err() != nil:
			return members, context.Cause(ctx)
		case there[0].Err == nil && len(s.there()) > 1:
			return members, nil
		}
	}
}

// star is a [SyncGroup] while it is synced by way of one of its relays.
type star struct {
	SyncGroup

	at      relays
	members []SyncMember
	doubts  map[string]reconcile.Doubt // by relay
	known   lacking
}

// there are the relays that have not failed.
func (s *star) there() (list []*SyncMember) {
	for i := range s.members {
		if s.members[i].Err == nil {
			list = append(list, &s.members[i])
		}
	}
	return list
}

// failed returns why relays were not synced.
func (s *star) failed() (err error) {
	for _, m := range s.members {
		err = errors.Join(err, m.Err)
	}
	return err
}

// around syncs others with the middle. The error is that of the middle; others have
// their own, and are left out from then on.
//
// Each is compared with the middle while these are as they were. What either lacks by
// that is given to it without another comparison, and so is what the middle got of
// others; the comparison that follows proves that this was all. The last relay brings
// what those before it lack, so these are synced once more.
func (s *star) around(ctx context.Context, middle *SyncMember, others []*SyncMember) error {
	if _, err := s.at.At(ctx, middle.Relay); err != nil {
		return err
	}
	rounds := [][]*SyncMember{others}
	if s.Up {
		rounds = append(rounds, others, others[:len(others)-1])
	}
	for n, round := range rounds {
		for _, m := range round {
			if m.Err != nil {
				continue
			}
			last := n == len(rounds)-1 || n > 0 && m == others[len(others)-1]
			if err := s.with(ctx, middle, m, s.Up && n == 0, last); err != nil {
				return err
			}
		}
	}
	return nil
}

// with syncs one relay with the middle, or only finds out what either lacks. The error
// is that of the middle.
func (s *star) with(ctx context.Context, middle, m *SyncMember, first, last bool) error {
	one := s.Sync
	one.A, one.B, one.unproved = middle.Relay, m.Relay, !last
	if first {
		one.Up, one.Down, one.lacks = false, false, s.known.note(m.Relay)
	} else {
		one.give = s.known.give(m.Relay)
	}
	before := s.figures()
	if s.Progress != nil {
		one.Progress = func(f SyncFigures) { s.Progress(before.Plus(f)) }
	}
	r := SyncResult{doubts: [2]reconcile.Doubt{s.doubts[one.A], s.doubts[one.B]}}
	_, came := s.cache.Since(0)
	err := one.pair(ctx, s.at, &r)
	brought, _ := s.cache.Since(came)
	s.known.brings(m.Relay, brought)
	s.doubts[one.A], s.doubts[one.B] = r.doubts[0], r.doubts[1]
	if first {
		r.OnlyA, r.OnlyB = 0, 0 // they count when they are given
	}
	r.SyncFigures = m.Plus(r.SyncFigures)
	m.SyncResult, m.Middle = r, middle.Relay
	if err == nil || ctx.Err() != nil {
		return err
	}
	if side, known := reconcile.FaultOf(err); known && side == negentropy.SideA {
		return err
	}
	m.Err = err
	return nil
}

// figures are those of all relays.
func (s *star) figures() (sum SyncFigures) {
	for _, m := range s.members {
		sum = sum.Plus(m.SyncFigures)
	}
	return sum
}
