package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// verdict is what did not hold, in words.
type verdict struct {
	Lost        []string // accepted, and not where it must be
	Duplicated  []string // took effect twice
	Back        []string // records that went back
	DeadLetters []string // dead letters without reason
}

func (v *verdict) ok() bool {
	return len(v.Lost)+len(v.Duplicated)+len(v.Back)+len(v.DeadLetters) == 0
}

// check looks at everything once more after it has arrived: what was there
// must still be there.
func (f *fleet) check(ctx context.Context, l *ledger, w *witness) (v verdict, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = errors.Join(f.checkHome(ctx, l, &v), f.checkDHT(ctx, l, &v), f.checkDeadLetters(ctx, l, &v), f.checkFound(ctx, &v))
	w.mu.Lock()
	defer w.mu.Unlock()
	v.Back = append(v.Back, w.wrong...)
	return v, err
}

// checkHome: every event is at the home relay, once.
func (f *fleet) checkHome(ctx context.Context, l *ledger, v *verdict) error {
	count := map[string]int{}
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(l.events)), perREQ) {
		err := until(ctx, func() error {
			part := map[string]int{}
			for e, err := range f.pool.At(f.homeURL).Query(ctx, nostr.Filter{IDs: ids}) {
				if err != nil {
					return err
				}
				part[e.ID]++
			}
			maps.Copy(count, part)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the home relay: %w", err)
		}
	}
	for id, p := range l.events {
		switch n := count[id]; {
		case n == 0 && p.took > 0:
			v.Lost = append(v.Lost, fmt.Sprintf("%s %s was at the home relay and is not any more", p.what, id))
		case n == 0:
			v.Lost = append(v.Lost, fmt.Sprintf("%s %s, accepted at %s", p.what, id, p.since.UTC().Format(time.TimeOnly)))
		case n > 1:
			v.Duplicated = append(v.Duplicated, fmt.Sprintf("%s %s is at the home relay %d times", p.what, id, n))
		}
	}
	return nil
}

// checkDHT: every author's newest list is on the DHT, and is what is kept.
func (f *fleet) checkDHT(ctx context.Context, l *ledger, v *verdict) error {
	records, err := kv.Open[contract.Record](ctx, f.js, contract.BucketRecords)
	if err != nil {
		return err
	}
	reader, err := f.newReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	for author, at := range l.lists {
		got, err := lookup(ctx, reader, at.item)
		if err != nil {
			return fmt.Errorf("read the DHT: %w", err)
		}
		target := at.item.Target()
		record, found, err := records.Get(ctx, contract.RecordKey(hex.EncodeToString(target[:])))
		if err != nil {
			return err
		}
		if got == nil || !got.Equal(&at.item) {
			seq := int64(-1)
			if got != nil {
				seq = got.Seq
			}
			v.Lost = append(v.Lost, fmt.Sprintf(
				"list of %s with seq %d, accepted at %s: the DHT has seq %d; kept is seq %d, verified at %d on %d nodes, %d failures, next due %d",
				author, at.item.Seq, at.since.UTC().Format(time.TimeOnly), seq, record.Seq, record.VerifiedAt, record.Held, record.Failures,
				record.NextDue,
			))
		}
		if !found || record.Seq != at.item.Seq || record.Superseded {
			v.Back = append(v.Back, fmt.Sprintf("the record of %s has seq %d, signed was %d", author, record.Seq, at.item.Seq))
		}
	}
	return nil
}

// checkDeadLetters: every forgery became one dead letter, and nothing else did but
// lists that came after newer ones.
func (f *fleet) checkDeadLetters(ctx context.Context, l *ledger, v *verdict) error {
	count := map[string]int{}
	err := readAll(ctx, f.js, contract.StreamDLQ, contract.DLQSubject("*"), func(data []byte) error {
		letter, err := nostr.Decode[contract.DeadLetter](data)
		if err != nil {
			return err
		}
		e, err := nostr.ParseEvent(letter.Data)
		switch {
		case err == nil && l.bad[e.ID]:
			count[e.ID]++
		case err == nil && l.outdated[e.ID]:
		default:
			v.DeadLetters = append(v.DeadLetters, fmt.Sprintf("%s after %d attempts: %s", letter.Subject, letter.Attempts, letter.Reason))
		}
		return nil
	})
	for id := range l.bad {
		switch n := count[id]; {
		case n == 0:
			v.Lost = append(v.Lost, fmt.Sprintf("forged event %s is no dead letter", id))
		case n > 1:
			v.Duplicated = append(v.Duplicated, fmt.Sprintf("forged event %s is %d dead letters", id, n))
		}
	}
	return err
}

// checkFound: every note is reported as found at most once.
func (f *fleet) checkFound(ctx context.Context, v *verdict) error {
	count := map[string]int{}
	err := readAll(ctx, f.js, contract.StreamOutcome, events.SubjectNoteFound, func(data []byte) error {
		r, err := nostr.Decode[events.MissingNoteResponse](data)
		count[r.EventID]++
		return err
	})
	for id, n := range count {
		if n > 1 {
			v.Duplicated = append(v.Duplicated, fmt.Sprintf("note %s was reported as found %d times", id, n))
		}
	}
	return err
}

// readAll calls f for every message that a stream keeps of a subject, which may have
// wildcards.
func readAll(ctx context.Context, js jetstream.JetStream, stream, subject string, f func(data []byte) error) error {
	var list [][]byte
	err := until(ctx, func() (err error) { // leaders may still be changing
		list, err = readStream(ctx, js, stream, subject)
		return err
	})
	for _, data := range list {
		err = errors.Join(err, f(data))
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	return nil
}

func readStream(ctx context.Context, js jetstream.JetStream, name, subject string) (list [][]byte, err error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return nil, nil
	}
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		msg, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject)) // that one or the next
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		list, seq = append(list, msg.Data), msg.Sequence
	}
	return list, nil
}
