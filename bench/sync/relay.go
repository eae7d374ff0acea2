package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/fiatjaf/khatru"
	gonostr "github.com/nbd-wtf/go-nostr"
)

// memory is a store that costs next to nothing, so that the syncs are measured.
type memory struct {
	mu     sync.Mutex
	byID   map[string]*gonostr.Event
	sorted []*gonostr.Event // newest first, but for the last unsorted ones
	tail   int              // how many those are
}

func newMemory(list []*gonostr.Event) *memory {
	m := &memory{byID: make(map[string]*gonostr.Event, len(list)), sorted: list}
	slices.SortFunc(m.sorted, newest)
	for _, e := range list {
		m.byID[e.ID] = e
	}
	return m
}

func newest(a, b *gonostr.Event) int {
	if a.CreatedAt != b.CreatedAt {
		return int(b.CreatedAt - a.CreatedAt)
	}
	return strings.Compare(a.ID, b.ID)
}

func (m *memory) save(_ context.Context, e *gonostr.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID[e.ID] != nil {
		return nil
	}
	m.byID[e.ID] = e
	m.sorted = append(m.sorted, e)
	m.tail++
	return nil
}

// merge sorts what was saved in.
func (m *memory) merge() {
	if m.tail == 0 {
		return
	}
	at := len(m.sorted) - m.tail
	old, tail := m.sorted[:at], m.sorted[at:]
	slices.SortFunc(tail, newest)
	all := make([]*gonostr.Event, 0, len(m.sorted))
	for _, e := range old {
		for len(tail) > 0 && newest(tail[0], e) < 0 {
			all, tail = append(all, tail[0]), tail[1:]
		}
		all = append(all, e)
	}
	m.sorted, m.tail = append(all, tail...), 0
}

// matching returns the events of a filter, newest first.
func (m *memory) matching(f gonostr.Filter) []*gonostr.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*gonostr.Event
	if len(f.IDs) > 0 {
		for _, id := range f.IDs {
			if e := m.byID[id]; e != nil && f.Matches(e) {
				out = append(out, e)
			}
		}
		return out
	}
	if len(f.Kinds) > 0 && !slices.Contains(f.Kinds, 1) {
		return nil // there is nothing else; khatru looks for deletions before every write
	}
	m.merge()
	first := 0
	if f.Until != nil {
		first, _ = slices.BinarySearchFunc(m.sorted, *f.Until, func(e *gonostr.Event, until gonostr.Timestamp) int {
			return int(until - e.CreatedAt)
		})
	}
	for _, e := range m.sorted[first:] {
		if f.Since != nil && e.CreatedAt < *f.Since {
			break
		}
		if f.Matches(e) {
			if out = append(out, e); len(out) == f.Limit {
				break
			}
		}
	}
	return out
}

func (m *memory) query(ctx context.Context, f gonostr.Filter) (chan *gonostr.Event, error) {
	list, out := m.matching(f), make(chan *gonostr.Event, 256)
	go func() {
		defer close(out)
		for _, e := range list {
			select {
			case out <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// serveRelays runs as many khatru relays with these events as there are
// addresses to print, until the parent closes the standard input.
func serveRelays(name string, common, own, relays int) error {
	for n := range relays {
		if relays > 1 {
			name = fmt.Sprint("relay ", n)
		}
		list, err := set(name, common, own)
		if err != nil {
			return err
		}
		store := newMemory(list)
		rl := khatru.NewRelay()
		rl.Negentropy = true
		rl.Log.SetOutput(devNull{})
		rl.StoreEvent = append(rl.StoreEvent, store.save)
		rl.QueryEvents = append(rl.QueryEvents, store.query)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		go func() { _ = http.Serve(ln, rl) }() //nolint:gosec // a benchmark on loopback
		fmt.Println(ln.Addr())
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}

type devNull struct{}

func (devNull) Write(p []byte) (int, error) { return len(p), nil }
