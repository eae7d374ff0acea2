package dht

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	retryAfter = 10 * time.Second
	// refreshing is how many records of one slice are refreshed at a time;
	// the DHT node has its own budget of packets.
	refreshing = 8
)

// HandlePublish takes relaylist.signed.<target>: put the record that KV holds for
// the target. The message itself is a wake-up only; its seq says how new that
// record is at least.
func (s *Stage) HandlePublish(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
	record, found, err := s.Records.Get(ctx, contract.RecordKey(m.Key()))
	if err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	}
	wake, _ := nostr.Decode[events.RelayListSigned](m.Data) // one without a seq is any
	if s.denies(record) || s.Denied.Key(wake.PubKey) || s.Denied.Key(wake.DHTKey) {
		return nil, contract.Done()
	}
	switch behind := !found || record.Seq < wake.Seq; {
	case behind && m.Attempt < stage.StaleAttempts:
		return nil, contract.Retry(stage.StaleAfter, "KV does not show the record yet that the message is about")
	case !found:
		return nil, contract.Reject("no record is kept for the target")
	}
	release, err := s.authorSlot(ctx, &s.puts, record.PubKey)
	switch {
	case errors.Is(err, hosts.ErrBusy) && m.Attempt >= busyAttempts:
		return nil, contract.Done() // the next refresh of its slice puts it
	case err != nil:
		return nil, contract.Retry(retryAfter, err.Error())
	}
	defer release()
	placed, err := s.place(ctx, m.Key(), record, Fresh, s.Now().Unix())
	if err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	}
	if placed.Holders == 0 {
		return nil, contract.Retry(retryAfter, "no node gave the record back")
	}
	out := []contract.Output{outcome(s.witnessed(ctx, placed, record))}
	switch {
	case weak(placed, record):
		return out, contract.Retry(min(soon, s.RefreshEvery), errWeak.Error())
	}
	return out, contract.Done()
}

// HandleRefresh takes record.due.<slice>: refresh every due record of the slice,
// in the order of their targets. It says what became of each while it goes on;
// records that too few nodes hold make it come back sooner than the schedule
// would. A slice that is begun again, here or elsewhere, goes on where it was
// left: what has been refreshed is not due any more.
func (s *Stage) HandleRefresh(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
	slice := m.Key()
	if len(slice) != 2 {
		return nil, contract.Reject("slice: want two hex digits")
	}
	now := s.Now().Unix()
	if slice == forgetWith {
		if err := s.forget(ctx, now); err != nil {
			return nil, contract.Retry(retryAfter, err.Error())
		}
	}
	targets, err := s.dueTargets(ctx, slice, now)
	if err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	}
	var few, failed atomic.Int64
	var group errgroup.Group
	group.SetLimit(refreshing)
	for _, target := range targets {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			err := s.refresh(ctx, target, now)
			switch {
			case errors.Is(err, errWeak):
				few.Add(1)
			case err != nil:
				failed.Add(1)
				s.Log.WarnContext(ctx, "couldn't refresh a record", "slice", slice, "err", err)
			}
			return nil
		})
	}
	_ = group.Wait() // the functions return nil
	switch {
	case ctx.Err() != nil:
		return nil, contract.Retry(retryAfter, context.Cause(ctx).Error())
	case failed.Load() > 0:
		return nil, contract.Retry(retryAfter, fmt.Sprintf("%d records could not be refreshed", failed.Load()))
	case few.Load() > 0:
		return nil, contract.Retry(min(soon, s.RefreshEvery), fmt.Sprintf("%d records have too few holders", few.Load()))
	}
	return nil, contract.Done()
}

// dueTargets lists the targets of a slice that are due: those of known authors
// first, each in their order. Only they are held in memory, not the records.
func (s *Stage) dueTargets(ctx context.Context, slice string, now int64) (targets []string, err error) {
	authors := map[string]string{} // by target
	err = s.Records.Each(ctx, slice+".*", func(key string, r contract.Record) error {
		if due(r, now, s.RefreshEvery) && !s.denies(r) {
			authors[key[len(slice)+1:]] = r.PubKey
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	var fresh []string
	for _, target := range slices.Sorted(maps.Keys(authors)) {
		if known, err := s.knows(ctx, authors[target]); err != nil {
			return nil, err
		} else if known {
			targets = append(targets, target)
		} else {
			fresh = append(fresh, target)
		}
	}
	return append(targets, fresh...), nil
}

// denies reports whether a record is to be on the DHT no more.
func (s *Stage) denies(r contract.Record) bool {
	return s.Denied.Key(r.PubKey) || s.Denied.Key(r.DHTKey)
}

// errWeak says that a record stands, on fewer nodes than it should.
var errWeak = errors.New("too few holders")

// weak reports whether a record that was r and now stands so is worth another
// try before its next refresh.
func weak(placed events.RecordPublished, r contract.Record) bool {
	return placed.Holders < minHolders && r.Failures < maxSoon
}

// refresh refreshes a record, unless another worker did so meanwhile.
func (s *Stage) refresh(ctx context.Context, target string, now int64) error {
	r, found, err := s.Records.Get(ctx, contract.RecordKey(target))
	if err != nil || !found || !due(r, now, s.RefreshEvery) || s.denies(r) {
		return err
	}
	placed, err := s.place(ctx, target, r, decideHow(r, s.RefreshEvery), now)
	if err != nil {
		return err
	}
	placed.Refresh = true
	told := placed
	if rand.IntN(witnessOneIn) == 0 {
		told = s.witnessed(ctx, placed, r)
	}
	if err := s.Publish(ctx, outcome(told)); err != nil {
		return err
	}
	if weak(placed, r) {
		return errWeak
	}
	return nil
}

// place puts a record and writes down how it stands. Where the network holds a
// newer item of the same owner, that one becomes the record and is put as
// well: whoever keeps it alive now may stop. So is one that came to KV meanwhile:
// its own message may have been replaced by a later one about the older record.
//
// now is when the pass began. The next refresh counts from there, not from when
// this record was reached: else the late ones of a long pass would not be due
// yet in the next, and would expire before the one after it.
func (s *Stage) place(ctx context.Context, target string, r contract.Record, how How, now int64) (events.RecordPublished, error) {
	for range 2 {
		item, err := stage.Item(r)
		if err != nil {
			return events.RecordPublished{}, fmt.Errorf("record %s: %w", target, err)
		}
		last := parseNodes(r.Nodes)
		found, err := s.Network.Put(ctx, item, last, how)
		if err != nil {
			return events.RecordPublished{}, fmt.Errorf("couldn't put record %s: %w", target, err)
		}
		placed := decidePlacement(found, last[:min(r.Held, len(last))], how)
		if placed.Equivocal {
			s.Log.WarnContext(ctx, "the owner signed two values with one seq; they should sign again with a higher one",
				"target", target, "pubkey", r.PubKey, "seq", r.Seq)
		}
		stored, err := s.Records.Update(ctx, contract.RecordKey(target), func(old contract.Record, _ bool) (contract.Record, bool) {
			return decidePlaced(old, r, placed, how, now, s.RefreshEvery)
		})
		if err != nil {
			return events.RecordPublished{}, fmt.Errorf("couldn't write record %s: %w", target, err)
		}
		if placed.Newer == nil && stored.Seq <= r.Seq {
			return events.RecordPublished{
				PubKey: r.PubKey, DHTKey: r.DHTKey, Target: target, Seq: r.Seq,
				Holders: placed.Holders, Superseded: r.Superseded, Equivocal: placed.Equivocal, Warning: placed.Warning,
			}, nil
		}
		r, how = stored, Fresh
	}
	return events.RecordPublished{}, fmt.Errorf("record %s: a newer one takes its place every time", target)
}

func outcome(p events.RecordPublished) contract.Output {
	return contract.Output{Subject: events.SubjectRecordPublished, Data: nostr.Encode(p)}
}
