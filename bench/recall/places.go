package main

import (
	"encoding/hex"
	"math"
	"slices"

	"github.com/btcsuite/btcd/btcutil/bech32"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What a place is to authors.
const (
	big     = iota // one of the two biggest
	popular        // of clients' defaults, in many lists
	small          // in a few lists
	hidden         // in no list
)

// monitors is how many keys watch relays and say which live (NIP-66).
const monitors = 2

// kindMonitor is a monitor's word on a relay.
const kindMonitor = 30166

// drawPlaces draws the relays: what they keep, and how they treat who asks.
func (w *world) drawPlaces() {
	for i := range w.live {
		p := &place{w: w, role: hidden, nip77: w.rand.IntN(2) == 0, deflate: w.rand.IntN(2) == 0, page: 500}
		switch {
		case i < 2:
			p.role, p.keeps, p.nip77 = big, []int64{30 * day, 90 * day}[i], true
		case i < 2+w.live/30:
			p.role, p.keeps = popular, w.keeps(25, 39, 26, 10)
		case i < w.live/2:
			p.role, p.keeps = small, w.keeps(15, 32, 29, 24)
		default:
			p.keeps = w.keeps(0, 0, 5, 15)
		}
		if p.role != big && p.role != popular {
			w.drawQuirk(p)
		}
		w.places = append(w.places, p)
	}
}

// drawQuirk makes some places such as are met in the wild, in the shares of facts.
func (w *world) drawQuirk(p *place) {
	switch draw := w.rand.IntN(100); {
	case draw < 3:
		p.auth = true
	case draw < 10:
		p.pays = true
	case draw < 18:
		p.most = 100
	case draw < 32:
		p.page = 100
	case draw < 35:
		p.lies, p.nip77 = true, true
	}
}

// keeps draws for how long a place keeps events, by the percentages of those that do so
// for 7, 30, 90 and 365 days; the others keep all.
func (w *world) keeps(percent ...int) int64 {
	draw := w.rand.IntN(100)
	for i, p := range percent {
		if draw -= p; draw < 0 {
			return []int64{7, 30, 90, 365}[i] * day
		}
	}
	return 0
}

// zipf draws a number below n, small ones more often.
func (w *world) zipf(n int) int { return int(float64(n) * math.Pow(w.rand.Float64(), 2.2)) }

// one draws a place of a role.
func (w *world) one(role int) int {
	from := []int{0, 2, 2 + w.live/30, w.live / 2, w.live}
	return from[role] + w.zipf(from[role+1]-from[role])
}

// drawWriter draws an author's habits.
func (w *world) drawWriter() (a writer) {
	a.rate, a.since = w.rate(), begin-min(w.rand.Int64N(2*w.history), w.history)
	for range 3 + w.rand.IntN(4) {
		switch draw := w.rand.IntN(100); {
		case draw < 34:
			a.lost = add(a.lost, w.dead[w.zipf(len(w.dead))])
		case draw < 42:
			a.listed = add(a.listed, w.one(big))
		case draw < 84:
			a.listed = add(a.listed, w.one(popular))
		default:
			a.listed = add(a.listed, w.one(small))
		}
	}
	for _, p := range a.listed {
		if w.rand.IntN(100) < 80 {
			a.writes = add(a.writes, p)
		}
	}
	if w.rand.IntN(100) < 57 { // their client's defaults, too
		a.writes = add(add(a.writes, w.rand.IntN(2)), w.one(popular))
	}
	for range 1 + w.rand.IntN(2) { // where they have written before, or others copy them to
		a.kept = add(a.kept, w.one(hidden))
	}
	if w.rand.IntN(100) < 30 {
		a.listed, a.lost = nil, nil
	}
	return a
}

func add[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// spread puts a note where its author's habits say, each copy with a chance of its own.
func (w *world) spread(n *note, i int32) {
	if int(n.author) >= w.authors {
		w.places[0].held = append(w.places[0].held, i) // what monitors say is read there
		return
	}
	a := &w.writers[n.author]
	for _, p := range a.writes {
		if n.kind != 1 || w.rand.IntN(100) < 88 {
			w.places[p].held = append(w.places[p].held, i)
		}
	}
	for j, p := range a.kept {
		if j == 0 || w.rand.IntN(100) < 60 {
			w.places[p].held = append(w.places[p].held, i)
		}
	}
}

// drawEvidence gives each place that is in no list something that says that it is there: notes of our
// authors name half of them, monitors a third, the operator's seeds the others, but
// for one in twenty-five, of which nobody says anything.
func (w *world) drawEvidence() {
	listed := map[int]bool{}
	for _, a := range w.writers {
		for _, p := range a.listed {
			listed[p] = true
		}
	}
	var ours []int
	for i, n := range w.notes {
		if n.kind == 1 && n.at > begin-30*day && n.at < begin && len(w.writers[n.author].listed) > 0 {
			ours = append(ours, i)
		}
	}
	for i, p := range w.places {
		if listed[i] {
			p.evidence = "list"
			continue
		}
		switch draw := w.rand.IntN(100); {
		case draw < 4:
			p.evidence = ""
		case draw < 28:
			p.evidence = "tag"
			w.hint(ours, i, 't')
		case draw < 50:
			p.evidence = "content"
			w.hint(ours, i, 'c')
		case draw < 84:
			p.evidence = "monitor"
			w.write(note{
				at: begin - int64(w.rand.IntN(day)), author: int32(w.authors + i%monitors), kind: kindMonitor, //nolint:gosec // few
				tags: []nostr.Tag{{"d", p.url}, {"n", "clearnet"}},
			})
		default:
			p.evidence = "seed"
		}
	}
}

// hint has some notes name a place.
func (w *world) hint(ours []int, place int, how byte) {
	for range min(5, len(ours)) {
		n := &w.notes[ours[w.rand.IntN(len(ours))]]
		n.hint, n.how = int16(place+1), how //nolint:gosec // few
	}
}

// nevent is the code of an event with a relay where it may be (NIP-19).
func nevent(id negentropy.ID, pubkey, url string) string {
	key, _ := hex.DecodeString(pubkey)
	data := append([]byte{0, 32}, id[:]...)
	data = append(append(data, 1, byte(len(url))), url...)
	data = append(append(data, 2, 32), key...)
	digits, err := bech32.ConvertBits(data, 8, 5, true)
	if err != nil {
		panic(err)
	}
	code, err := bech32.Encode("nevent", digits)
	if err != nil {
		panic(err)
	}
	return code
}

// seeds are the relays that the operator's config names, and one where monitors write.
func (w *world) seeds() (urls []string) {
	for i, p := range w.places {
		if p.evidence == "seed" || i == 0 {
			urls = append(urls, p.url)
		}
	}
	return urls
}
