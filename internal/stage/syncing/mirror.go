package syncing

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// absentFor is how long a relay that was away, or keeps nothing, is not in the middle of its groups.
	absentFor = 5 * time.Minute
	// forwarding bounds how long a relay of a group may take for an event that came
	// live; the next sync gives it what it has not got.
	forwarding = 10 * time.Second
)

// errKeepsNothing is why a relay is no longer in the middle of its groups: what is given
// to it does not get any further.
var errKeepsNothing = errors.New("it says OK to events that it does not deliver afterwards")

// between is [Stage.middle] of those that keep what they are given, as far as bucket
// syncs says.
func (s *Stage) between(ctx context.Context, group []string) (string, error) {
	for {
		url := s.middle(group)
		if s.isLocal(url) || s.isAbsent(url) {
			return url, nil
		}
		last, _, err := s.Syncs.Get(ctx, nostr.RelayKey(url))
		if err != nil {
			return "", err
		}
		if !doubtOf(last, s.Now().Unix()).Unwritten {
			return url, nil
		}
		s.leaveOut(url)
	}
}

// leaveOut keeps a relay out of the middle of its groups, for [absentFor].
func (s *Stage) leaveOut(url string) { s.absent.Put(nostr.RelayKey(url), s.Now().Add(absentFor)) }

// middle is the relay with which the others of a group are synced: the local one if it
// is among them, else the first, and while that is away the next. This process knows
// it to be away by a sync that failed for it.
func (s *Stage) middle(group []string) string {
	first := slices.IndexFunc(group, s.isLocal)
	if first >= 0 && !s.isAbsent(s.Local) {
		return s.Local
	}
	for _, url := range group {
		if !s.isLocal(url) && !s.isAbsent(url) {
			return url
		}
	}
	return group[max(first, 0)]
}

func (s *Stage) isAbsent(url string) bool {
	until, _ := s.absent.Get(nostr.RelayKey(url))
	return s.Now().Before(until)
}

// apart returns the jobs that a relay has with others than itself.
func apart(list []job, url string) []job {
	return slices.DeleteFunc(slices.Clone(list), func(j job) bool { return j.middle != "" && nostr.SameRelay(j.middle, url) })
}

// opposite is the relay with which a job syncs another one, and what it was not given
// earlier if that is not the local relay.
func (s *Stage) opposite(ctx context.Context, local reconcile.Side, j job) (a reconcile.Side, known *memory, err error) {
	if j.middle == "" || s.isLocal(j.middle) {
		return local, nil, nil
	}
	at, err := s.Net.At(ctx, j.middle)
	if err == nil {
		known, err = s.recall(ctx, j.middle)
	}
	if err == nil {
		known.sync, _, err = s.Syncs.Get(ctx, nostr.RelayKey(j.middle))
	}
	return reconcile.Side{Relay: at, Name: j.middle}, known, err
}

// syncMember is [Stage.syncJob], with other relays in the middle of the group while it
// fails for those.
func (s *Stage) syncMember(
	ctx context.Context, local, remote reconcile.Side, j job, of *memory, result *events.SyncFinished,
) (r reconcile.Result, err error) {
	r, err = s.syncJob(ctx, local, remote, j, of, result)
	for err != nil && s.moves(ctx, &j, err) {
		if nostr.SameRelay(j.middle, remote.Name) {
			return r, nil // others are synced with it
		}
		r, err = s.syncJob(ctx, local, remote, j, of, result)
	}
	if errors.Is(err, errKeepsNothing) {
		return r, nil // no fault of the other relay, and there is no third
	}
	return r, err
}

// moves has another relay be in the middle of a job's group if a sync failed for the
// one that was, and reports whether there is one.
func (s *Stage) moves(ctx context.Context, j *job, err error) bool {
	forgets := errors.Is(err, errKeepsNothing)
	if j.middle == "" || !localFault(err) && !forgets || ctx.Err() != nil {
		return false
	}
	before, reason := j.middle, " is away"
	if forgets {
		reason = " keeps nothing"
	}
	s.leaveOut(before)
	if j.middle = s.middle(j.group); j.middle == before {
		return false
	}
	s.Log.WarnContext(ctx, "another relay is in the middle of a group of mirrors",
		"relay", j.middle, "reason", before+reason, "err", err, "wait", absentFor)
	return true
}

// takers returns who is to be given an event that came live from a relay: whether the
// local relay is, and which others of its groups.
func (s *Stage) takers(url string, jobs []job, e *nostr.Event) (local bool, others []string) {
	for _, j := range jobs {
		switch {
		case j.direction&reconcile.Down == 0 || !j.filter.Match(e):
		case len(j.group) == 0:
			local = true
		default:
			for _, member := range j.group {
				local = local || s.isLocal(member)
				if !s.isLocal(member) && !nostr.SameRelay(member, url) && !nostr.HasRelay(others, member) {
					others = append(others, member)
				}
			}
		}
	}
	return local, others
}

// forward gives an event that came live to relays of a group. What fails is left to
// the next sync.
func (s *Stage) forward(ctx context.Context, members []string, e nostr.Event) {
	if s.Denied.Event(&e) || nostr.Private(e.Kind) || reconcile.MayCopy(&e, s.Now().Unix()) != "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, forwarding)
	defer cancel()
	var group errgroup.Group
	for _, url := range members {
		if s.isAbsent(url) {
			continue
		}
		group.Go(func() error {
			at, err := s.Net.At(ctx, url)
			if err == nil {
				err = reconcile.Write(ctx, at, e)
			}
			if err != nil && ctx.Err() == nil {
				s.Log.DebugContext(ctx, "a mirror gets an event with the next sync only", "relay", url, "event", e.ID, "err", err)
			}
			return nil
		})
	}
	_ = group.Wait() // none fails
}

// known is what neither side of a job is to be given, by earlier syncs.
type known struct {
	of     *memory // of the relay
	middle *memory // of the other one; nil if that is the local relay, of which the former tells
}

func (k known) has(to negentropy.Side, id negentropy.ID) bool {
	if to == negentropy.SideA && k.middle != nil {
		return k.middle.has(negentropy.SideB, id)
	}
	return k.of.has(to, id)
}

func (k known) add(ctx context.Context, r reconcile.Refusal) {
	if r.To == negentropy.SideA && k.middle != nil {
		r.To = negentropy.SideB
		k.middle.add(ctx, r)
		return
	}
	k.of.add(ctx, r)
}
