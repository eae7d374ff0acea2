// Package jsonl makes a side of a sync of JSON lines: events, one a line.
package jsonl

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
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

// Load reads events, one a line, and returns how many lines are none: not JSON,
// or of a wrong id or signature.
func (s *Relay) Load(ctx context.Context, in io.Reader) (unreadable int, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 2*nostr.MaxEventBytes)
	for lines.Scan() && ctx.Err() == nil {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		e, err := nostr.ParseEvent(line)
		if err == nil {
			err = schnorr.Verify(&e)
		}
		if err != nil {
			unreadable++
			continue
		}
		if err := s.add(&e); err != nil {
			return unreadable, err
		}
	}
	if err := lines.Err(); err != nil {
		return unreadable, fmt.Errorf("read events: %w", err)
	}
	return unreadable, ctx.Err()
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

// Open says that lines speak no NIP-77, so they are listed.
func (s *Relay) Open(context.Context, nostr.Filter, []byte) (reconcile.Session, []byte, error) {
	return nil, nil, reconcile.ErrNoNegentropy
}

// Query yields what matches, newest first.
func (s *Relay) Query(ctx context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		for n, id := range s.candidates(filter) {
			e, err := s.read(id)
			if err == nil && n%1000 == 0 {
				err = ctx.Err()
			}
			if err != nil {
				yield(e, err)
				return
			}
			if !filter.Match(&e) {
				continue
			}
			if filter.Limit--; !yield(e, nil) || filter.Limit == 0 {
				return
			}
		}
	}
}

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
	return s.order[first:]
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
func (s *Relay) Publish(_ context.Context, e nostr.Event) (refused string, err error) {
	if err := s.add(&e); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = s.out.Write(append(nostr.Encode(e), '\n'))
	return "", err
}
