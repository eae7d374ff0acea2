package dht

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
)

const (
	retryAfter = 10 * time.Second
	// refreshing is how many records of one slice are refreshed at a time;
	// the DHT node has its own budget of packets.
	refreshing = 8
)

// HandlePublish takes relaylist.signed.<target>: put the record that KV holds for
// the target. The message itself is a wake-up only.
func (s *Stage) HandlePublish(ctx context.Context, m events.Message) ([]events.Output, events.Verdict) {
	record, found, err := s.Records.Get(ctx, events.RecordKey(m.Key()))
	if err != nil {
		return nil, events.Retry(retryAfter, err.Error())
	}
	if !found {
		return nil, events.Reject("no record is kept for the target")
	}
	placed, err := s.place(ctx, m.Key(), record, s.Now().Unix(), false)
	if err != nil {
		return nil, events.Retry(retryAfter, err.Error())
	}
	out := []events.Output{outcome(placed)}
	switch {
	case placed.Holders == 0:
		return nil, events.Retry(retryAfter, "no node gave the record back")
	case weak(placed, record):
		return out, events.Retry(min(soon, s.RefreshEvery), errWeak.Error())
	}
	return out, events.Done()
}

// HandleRefresh takes record.due.<slice>: put every due record of the slice again
// where it is missing. It says what became of each while it goes on; records
// that too few nodes hold make it come back sooner than the schedule would.
func (s *Stage) HandleRefresh(ctx context.Context, m events.Message) ([]events.Output, events.Verdict) {
	slice := m.Key()
	if len(slice) != 2 {
		return nil, events.Reject("slice: want two hex digits")
	}
	var few, failed atomic.Int64
	var group errgroup.Group
	group.SetLimit(refreshing)
	now := s.Now().Unix()
	err := s.Records.Each(ctx, slice+".*", func(key string, r events.Record) error {
		if due(r, now, s.RefreshEvery) {
			group.Go(func() error {
				err := s.refresh(ctx, key[len(slice)+1:], r, now)
				switch {
				case errors.Is(err, errWeak):
					few.Add(1)
				case err != nil:
					failed.Add(1)
					s.Log.Warn("couldn't refresh a record", "slice", slice, "err", err)
				}
				return nil
			})
		}
		return ctx.Err()
	})
	_ = group.Wait() // the functions return nil
	switch {
	case err != nil:
		return nil, events.Retry(retryAfter, err.Error())
	case failed.Load() > 0:
		return nil, events.Retry(retryAfter, fmt.Sprintf("%d records could not be refreshed", failed.Load()))
	case few.Load() > 0:
		return nil, events.Retry(min(soon, s.RefreshEvery), fmt.Sprintf("%d records have too few holders", few.Load()))
	}
	return nil, events.Done()
}

// errWeak says that a record stands, on fewer nodes than it should.
var errWeak = errors.New("too few holders")

// weak reports whether a record that was r and now stands so is worth another
// try before its next turn.
func weak(placed events.RecordPublished, r events.Record) bool {
	return placed.Holders < minHolders && r.Failures < maxSoon
}

func (s *Stage) refresh(ctx context.Context, target string, r events.Record, now int64) error {
	placed, err := s.place(ctx, target, r, now, true)
	if err != nil {
		return err
	}
	if err := s.Publish(ctx, outcome(placed)); err != nil {
		return err
	}
	if weak(placed, r) {
		return errWeak
	}
	return nil
}

// place puts a record and writes down how it stands. Where the network holds a
// newer item of the same owner, that one becomes the record and is put in its
// turn: whoever keeps it alive now may stop.
//
// now is when the pass began. The next turn counts from there, not from when
// this record's turn came: else the late ones of a long pass would not be due
// yet in the next, and would expire before the one after it.
func (s *Stage) place(ctx context.Context, target string, r events.Record, now int64, refresh bool) (events.RecordPublished, error) {
	for range 2 {
		item, err := stage.Item(r)
		if err != nil {
			return events.RecordPublished{}, fmt.Errorf("record %s: %w", target, err)
		}
		placement, err := s.Network.Put(ctx, item, r.Nodes)
		if err != nil {
			return events.RecordPublished{}, fmt.Errorf("couldn't put record %s: %w", target, err)
		}
		if placement.Equivocal {
			s.Log.Warn("the owner signed two values with one seq; they should sign again with a higher one",
				"target", target, "pubkey", r.PubKey, "seq", r.Seq)
		}
		stored, err := s.Records.Update(ctx, events.RecordKey(target), func(old events.Record, _ bool) (events.Record, bool) {
			return decidePlaced(old, r, placement, now, s.RefreshEvery)
		})
		if err != nil {
			return events.RecordPublished{}, fmt.Errorf("couldn't write record %s: %w", target, err)
		}
		if placement.Newer == nil {
			return events.RecordPublished{
				PubKey: r.PubKey, DHTKey: r.DHTKey, Target: target, Seq: r.Seq,
				Holders: placement.Holders, Refresh: refresh, Superseded: r.Superseded,
			}, nil
		}
		r = stored
	}
	return events.RecordPublished{}, fmt.Errorf("record %s: the network holds a newer one every time", target)
}

func outcome(p events.RecordPublished) events.Output {
	return events.Output{Subject: events.SubjectRecordPublished, Data: events.Encode(p)}
}
