package dht

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// searching is how many slots of a directory are looked up at a time.
	searching = 4
	// maxProbed is how many relays one search asks for their documents,
	// whatever the slots say.
	maxProbed = 64
)

// Directory searches a directory of relays on the DHT, as HORNETS has one: the
// slots are records of one well-known key under the salts that
// [bep44.HornetsDirectorySalt] gives. A slot holds a NIP-11 document, or the
// URL of a relay or a list of URLs. Who may write there is anyone's guess, so
// a relay counts only by the signature in its own document.
type Directory struct {
	Network Network
	// Probe fetches the NIP-11 document of a relay, and Read reads one. They
	// fail unless it has a HORNETS extension that the relay signed.
	Probe func(ctx context.Context, url string) (contract.Relay, error)
	Read  func(document []byte) (contract.Relay, error)

	AllowPrivate bool
}

// DirectoryEntry is what a slot names.
type DirectoryEntry struct {
	Slot  int
	URL   string         // empty if the slot holds the document itself
	Relay contract.Relay // with Hornets set, unless Why says otherwise
	Why   string         // why the entry does not count; empty if it does
}

// Search looks into the slots from 0 on, and calls found for every entry, one
// at a time and in no order. An error means that the DHT does not answer.
func (d *Directory) Search(ctx context.Context, key [32]byte, slots int, found func(DirectoryEntry)) error {
	s := directorySearch{Directory: d, found: found, seen: map[string]bool{}}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(searching)
	for slot := range slots {
		group.Go(func() error {
			item, _, ok, err := d.Network.Get(ctx, key, bep44.HornetsDirectorySalt(slot))
			if err != nil {
				return fmt.Errorf("couldn't look up slot %d: %w", slot, err)
			}
			if ok {
				s.look(ctx, slot, item.Value)
			}
			return nil
		})
	}
	return group.Wait()
}

type directorySearch struct {
	*Directory

	mu    sync.Mutex
	found func(DirectoryEntry)
	seen  map[string]bool // URLs
}

func (s *directorySearch) tell(e DirectoryEntry, err error) {
	if err != nil {
		e.Why = err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found(e)
}

// look reads one slot. Its URLs are probed one after the other.
func (s *directorySearch) look(ctx context.Context, slot int, value []byte) {
	text, err := bep44.DecodeString(value)
	var urls []string
	switch {
	case err != nil || len(text) == 0:
		s.tell(DirectoryEntry{Slot: slot, Why: "the slot holds no text"}, err)
	case text[0] == '{':
		relay, err := s.Read(text)
		s.tell(DirectoryEntry{Slot: slot, Relay: relay}, err)
	case text[0] == '[':
		if urls, err = bep44.DecodeRelayList(value); err != nil {
			s.tell(DirectoryEntry{Slot: slot}, err)
		}
	default:
		urls = []string{string(text)}
	}
	for _, raw := range urls {
		url, err := nostr.NormalizeRelayURL(raw, s.AllowPrivate)
		if err != nil {
			s.tell(DirectoryEntry{Slot: slot}, err)
			continue
		}
		if again, full := s.note(url); again {
			continue
		} else if full {
			s.tell(DirectoryEntry{Slot: slot, URL: url, Why: fmt.Sprintf("not asked: the slots name more than %d relays", maxProbed)}, nil)
			continue
		}
		relay, err := s.Probe(ctx, url)
		s.tell(DirectoryEntry{Slot: slot, URL: url, Relay: relay}, err)
	}
}

// note remembers a URL. again says that it was met before, full that enough
// relays have been asked.
func (s *directorySearch) note(url string) (again, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[url] {
		return true, false
	}
	if len(s.seen) == maxProbed {
		return false, true
	}
	s.seen[url] = true
	return false, false
}
