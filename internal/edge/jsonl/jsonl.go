// Package jsonl makes a side of a sync of JSON lines: events, one a line.
package jsonl

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/lines"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Relay has the events that were read from one stream, and writes what it is
// given to another. The events lie in a file that has no name; about 150 bytes
// of each are held. Its methods may be called at once, but for Close.
type Relay struct {
	out io.Writer

	mu      sync.Mutex
	file    *os.File
	end     int64
	entries map[string]entry
	order   []string // ids, newest first, unless stale
	stale   bool
}

type entry struct {
	createdAt, offset int64
	size              int
}

// New returns an empty relay that writes to out. The caller closes it.
func New(out io.Writer) (*Relay, error) {
	file, err := os.CreateTemp("", "relaymesh-sync-")
	if err != nil {
		return nil, err
	}
	return &Relay{out: out, file: file, entries: map[string]entry{}}, os.Remove(file.Name())
}

// Close frees the file.
func (s *Relay) Close() error { return s.file.Close() }

// Load reads events, one a line, and tells of each line that is none: not JSON, or
// of a wrong id or signature.
func (s *Relay) Load(ctx context.Context, in io.Reader, bad func(line int, why error)) error {
	for input := lines.NewReader(in, nostr.MaxEventBytes); ctx.Err() == nil; {
		line, err := input.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(line.Text) == 0 {
			continue
		}
		e, err := parse(line)
		if err != nil {
			bad(line.Number, err)
			continue
		}
		if err := s.add(&e); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func parse(line lines.Line) (e nostr.Event, err error) {
	if line.TooLong {
		return e, nostr.ErrEventTooLarge
	}
	if e, err = nostr.ParseEvent(line.Text); err == nil {
		err = schnorr.Verify(&e)
	}
	return e, err
}

// add keeps an event.
func (s *Relay) add(e *nostr.Event) error {
	text := nostr.Encode(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, have := s.entries[e.ID]; have {
		return nil
	}
	if _, err := s.file.WriteAt(text, s.end); err != nil {
		return err
	}
	s.entries[e.ID] = entry{e.CreatedAt, s.end, len(text)}
	s.end += int64(len(text))
	s.order, s.stale = append(s.order, e.ID), true
	return nil
}

// Query yields what matches, newest first for each filter.
func (s *Relay) Query(ctx context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		for _, filter := range filters {
			if more, err := s.each(ctx, filter, func(e nostr.Event) bool { return yield(e, nil) }); err != nil {
				yield(nostr.Event{}, err)
				return
			} else if !more {
				return
			}
		}
	}
}

func (s *Relay) each(ctx context.Context, filter nostr.Filter, yield func(nostr.Event) bool) (more bool, err error) {
	for n, id := range s.candidates(filter) {
		e, err := s.read(id)
		if err == nil && n%1000 == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return false, err
		}
		if !filter.Match(&e) {
			continue
		}
		if !yield(e) {
			return false, nil
		}
		if filter.Limit--; filter.Limit == 0 {
			break
		}
	}
	return true, nil
}

// Open answers for what was read and written so far, 40 bytes an event: all ids are at
// hand, so that nothing has to be paged.
func (s *Relay) Open(ctx context.Context, filter nostr.Filter, first []byte) (reconcile.Session, []byte, error) {
	var items []negentropy.Item
	filter.Limit = 0
	_, err := s.each(ctx, filter, func(e nostr.Event) bool {
		id, _ := negentropy.ParseID(e.ID) // it was verified when it was read
		items = append(items, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
		return true
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read lines: %w", err)
	}
	return reconcile.OpenSet(ctx, negentropy.NewVector(items), first)
}

// Subscribe says that nothing arrives live.
func (s *Relay) Subscribe(context.Context, ...nostr.Filter) iter.Seq2[reconcile.Update, error] {
	return func(yield func(reconcile.Update, error) bool) { yield(reconcile.Update{}, errors.ErrUnsupported) }
}

// Limits says that there are none.
func (s *Relay) Limits(context.Context) reconcile.Limits { return reconcile.Limits{} }

// candidates returns the ids that may match, newest first.
func (s *Relay) candidates(filter nostr.Filter) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(filter.IDs) > 0 {
		return slices.DeleteFunc(slices.Clone(filter.IDs), func(id string) bool {
			_, have := s.entries[id]
			return !have
		})
	}
	if s.stale {
		s.order = slices.Clone(s.order) // others may be reading the old one
		slices.SortFunc(s.order, func(a, b string) int {
			return cmp.Or(cmp.Compare(s.entries[b].createdAt, s.entries[a].createdAt), strings.Compare(a, b))
		})
		s.stale = false
	}
	first := sort.Search(len(s.order), func(i int) bool {
		return filter.Until == 0 || s.entries[s.order[i]].createdAt <= filter.Until
	})
	past := sort.Search(len(s.order), func(i int) bool { return s.entries[s.order[i]].createdAt < filter.Since })
	return s.order[min(first, past):past]
}

func (s *Relay) read(id string) (e nostr.Event, err error) {
	s.mu.Lock()
	at := s.entries[id]
	s.mu.Unlock()
	text := make([]byte, at.size)
	if _, err := s.file.ReadAt(text, at.offset); err != nil {
		return e, err
	}
	return e, json.Unmarshal(text, &e)
}

// Publish writes an event as a line. It refuses none.
func (s *Relay) Publish(ctx context.Context, e nostr.Event) (reply reconcile.Reply, err error) {
	if ctx.Err() != nil {
		return reply, ctx.Err()
	}
	if err := s.add(&e); err != nil {
		return reply, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err = s.out.Write(append(nostr.Encode(e), '\n')); err != nil {
		return reply, err
	}
	return reconcile.Reply{Outcome: reconcile.Stored}, nil
}
