package main

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	day        = 24 * 3600
	begin      = 1_780_000_000 // of the driven time, Unix seconds
	threeYears = 3 * 365 * day
)

// size is how large a world is.
type size struct {
	authors, live, dead, days int
	history                   int64 // seconds before the beginning in which something was written
}

// world is what exists beside us: authors, what they wrote, and where it is.
type world struct {
	size
	rand    *rand.Rand
	clock   atomic.Int64 // Unix seconds
	keys    []*schnorr.SecretKey
	byKey   map[string]int32
	writers []writer
	notes   []note // by date
	byID    map[negentropy.ID]int32
	places  []*place // that live
	dead    []string // URLs

	signing sync.Mutex
}

// writer is an author and their habits: places by their number.
type writer struct {
	listed []int    // that their list names and that live
	lost   []string // that it names and that do not
	writes []int    // where their notes go
	kept   []int    // where their notes go besides, and no list says so
	rate   float64  // notes a day
	since  int64    // when they began
}

// note is an event; its signature is made when it is first served.
type note struct {
	at     int64
	id     negentropy.ID
	author int32
	kind   int16
	hint   int16 // 1 + the place that it names, 0 is none
	how    byte  // where it is named: 't' in a tag, 'c' in the content
	tags   []nostr.Tag
	sig    string
}

// draw makes a world.
func draw(s size, seed uint64) (*world, error) {
	w := &world{size: s, byKey: map[string]int32{}, byID: map[negentropy.ID]int32{}}
	w.rand = rand.New(rand.NewPCG(seed, 12)) //nolint:gosec // a world
	w.clock.Store(begin)
	for i := range s.authors + monitors {
		raw := make([]byte, 32)
		for b := range raw {
			raw[b] = byte(w.rand.Uint32())
		}
		key, err := schnorr.ParseSecret(hex.EncodeToString(raw))
		if err != nil {
			return nil, err
		}
		w.keys = append(w.keys, key)
		w.byKey[key.PublicKey()] = int32(i) //nolint:gosec // few
	}
	w.drawPlaces()
	if err := w.open(); err != nil {
		return nil, err
	}
	for range s.authors {
		w.writers = append(w.writers, w.drawWriter())
	}
	w.drawNotes()
	return w, nil
}

// rate draws how many notes an author writes a day: a power law, as measured, of which the
// mean is some 0.4 to 0.9 and the median 0.07 to 0.2.
func (w *world) rate() float64 {
	return min(0.12*math.Exp(1.65*w.rand.NormFloat64()), 25)
}

// drawNotes has everybody write, and puts it where their habits say.
func (w *world) drawNotes() {
	end := int64(begin + w.days*day)
	for i := range w.writers {
		a := &w.writers[i]
		w.write(note{at: w.listAt(a), author: int32(i), kind: nostr.KindRelayList, tags: w.list(a)}) //nolint:gosec // few
		for at := float64(a.since); ; {
			at += w.rand.ExpFloat64() / a.rate * day
			if int64(at) >= end {
				break
			}
			w.write(note{at: int64(at), author: int32(i), kind: 1}) //nolint:gosec // few
		}
	}
	w.notes = slices.DeleteFunc(w.notes, func(n note) bool { return n.kind == nostr.KindRelayList && n.tags == nil })
	w.drawEvidence()
	slices.SortStableFunc(w.notes, func(a, b note) int { return int(a.at - b.at) })
	for i := range w.notes {
		n := &w.notes[i]
		e := w.bare(n, i)
		n.id, _ = negentropy.ParseID(e.Hash())
		w.byID[n.id] = int32(i) //nolint:gosec // few
		w.spread(n, int32(i))   //nolint:gosec // few
	}
}

func (w *world) write(n note) { w.notes = append(w.notes, n) }

// listAt is the date of a list.
func (w *world) listAt(a *writer) int64 {
	return max(a.since, begin-int64(w.rand.IntN(365*day)))
}

// list is the tags of an author's list, nil for those who have none.
func (w *world) list(a *writer) (tags []nostr.Tag) {
	for _, p := range a.listed {
		tags = append(tags, nostr.Tag{"r", w.places[p].url})
	}
	for _, url := range a.lost {
		tags = append(tags, nostr.Tag{"r", url})
	}
	return tags
}

// bare is an event without id and signature.
func (w *world) bare(n *note, i int) nostr.Event {
	e := nostr.Event{PubKey: w.keys[n.author].PublicKey(), Kind: int(n.kind), CreatedAt: n.at, Tags: n.tags}
	if n.kind == 1 {
		e.Content = fmt.Sprintf("note %d, of the length that most notes have, which is a sentence or two and hardly ever more than that", i)
	}
	if n.hint == 0 {
		return e
	}
	other := w.notes[max(i-1, 0)]
	url := w.places[n.hint-1].url
	if n.how == 'c' {
		e.Content += " nostr:" + nevent(other.id, w.keys[other.author].PublicKey(), url)
	} else {
		e.Tags = []nostr.Tag{{"e", other.id.String(), url}, {"p", w.keys[other.author].PublicKey(), url}}
	}
	return e
}

// event is a signed event.
func (w *world) event(i int32) nostr.Event {
	n := &w.notes[i]
	e := w.bare(n, int(i))
	w.signing.Lock()
	e.Sig = n.sig
	w.signing.Unlock()
	e.ID = n.id.String()
	if e.Sig == "" {
		if err := w.keys[n.author].SignEvent(&e); err != nil {
			panic(err) // a key of our own
		}
		w.signing.Lock()
		n.sig = e.Sig
		w.signing.Unlock()
	}
	return e
}
