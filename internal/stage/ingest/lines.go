package ingest

import (
	"context"
	"errors"
	"io"

	"github.com/relaymesh/relaymesh/internal/lines"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Lines reads events as JSON, one a line, as strfry export and relaymesh sync
// write them, and hands the good ones on. Only the first of several with the
// same id is read further than to its id.
type Lines struct {
	// Verify checks the signatures of many events whose shape and id are right.
	Verify func(all []*nostr.Event) []error
	// Put takes an event, or waits until it can.
	Put func(ctx context.Context, event []byte) error
	// Flush waits until all that was put is stored.
	Flush func(ctx context.Context) error
	// Bad is told what is wrong with a line; the first is number 1.
	Bad func(line int, err error)
}

// LinesRead is how far reading has come.
type LinesRead struct {
	Lines      int `json:"lines"`      // all that was read is stored or known to be bad
	Events     int `json:"events"`     // handed on
	Duplicates int `json:"duplicates"` // of events in this input
	Bad        int `json:"bad"`
}

// linesPerBatch is how many lines are verified together at most.
const linesPerBatch = 256

// Read reads until in ends, and skips the first lines. What it returns counts
// only what is stored, also after an error: reading may go on from there.
func (l *Lines) Read(ctx context.Context, in io.Reader, skip int) (LinesRead, error) {
	read := make(chan lines.Line, 2*linesPerBatch)
	ended := make(chan error, 1)
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		ended <- scan(stop, in, skip, read)
		close(read)
	}()

	done, stored := LinesRead{Lines: skip}, LinesRead{Lines: skip}
	seen := NewSeen()
	for {
		batch := nextLines(ctx, read)
		if len(batch) == 0 {
			break
		}
		if err := l.batch(ctx, batch, seen, &done); err != nil {
			return stored, err
		}
		if done.Lines-stored.Lines >= 100*linesPerBatch {
			if err := l.Flush(ctx); err != nil {
				return stored, err
			}
			stored = done
		}
	}
	if err := l.Flush(ctx); err != nil {
		return stored, err
	}
	if ctx.Err() != nil {
		return done, ctx.Err()
	}
	return done, <-ended
}

// nextLines waits for a line and returns it with those that are there already,
// or nothing when the input or ctx has ended.
func nextLines(ctx context.Context, read <-chan lines.Line) (batch []lines.Line) {
	select {
	case first, ok := <-read:
		if !ok {
			return nil
		}
		batch = append(batch, first)
	case <-ctx.Done():
		return nil
	}
	for len(batch) < linesPerBatch {
		select {
		case next, ok := <-read:
			if !ok {
				return batch
			}
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// scan sends the lines of in until ctx ends.
func scan(ctx context.Context, in io.Reader, skip int, to chan<- lines.Line) error {
	for input := lines.NewReader(in, nostr.MaxEventBytes); ; {
		line, err := input.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if line.Number <= skip {
			continue
		}
		select {
		case to <- line:
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *Lines) batch(ctx context.Context, batch []lines.Line, seen *Seen, count *LinesRead) error {
	parsed := make([]nostr.Event, 0, len(batch))
	var from []lines.Line
	for _, in := range batch {
		id, _ := nostr.PeekID(in.Text)
		if _, known := seen.Get(id); known {
			count.Duplicates++
			continue
		}
		if len(in.Text) == 0 {
			continue
		}
		e, err := nostr.ParseEvent(in.Text)
		if in.TooLong {
			err = nostr.ErrEventTooLarge
		}
		if err != nil {
			count.Bad++
			l.Bad(in.Number, err)
			continue
		}
		parsed, from = append(parsed, e), append(from, in)
	}
	open := make([]*nostr.Event, len(parsed))
	for i := range parsed {
		open[i] = &parsed[i]
	}
	for i, err := range l.Verify(open) {
		_, twice := seen.Get(open[i].ID)
		switch {
		case err != nil:
			count.Bad++
			l.Bad(from[i].Number, err)
		case twice: // in this very batch
			count.Duplicates++
		default:
			if err := l.Put(ctx, from[i].Text); err != nil {
				return err
			}
			seen.Put(open[i].ID, struct{}{})
			count.Events++
		}
	}
	count.Lines = batch[len(batch)-1].Number
	return nil
}
