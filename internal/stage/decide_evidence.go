package stage

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// Said is the weight of an author's own list. Evidence of less is what third
	// parties say, or has faded.
	Said = 1.0
	// deliveredHalf and saidHalf are after how long evidence is worth half of it:
	// what a relay delivered, and a list by its date, which falls to half and no
	// further, since nobody but its author can say that it is over.
	deliveredHalf = 30 * 24 * time.Hour
	saidHalf      = 365 * 24 * time.Hour
	// maxDelivered bounds what counts of deliveries.
	maxDelivered = 1 << 20
)

// weights is what evidence is worth by itself, by its source. They are added in this
// order, or equal evidence would not come to equal sums.
var weights = []struct {
	via   string
	worth float64
}{
	{contract.ViaNIP65, 2 * Said},
	{contract.ViaManual, 2 * Said},
	{contract.ViaDelivered, 2 * Said},
	{contract.ViaDHT, 1.9 * Said},
	{contract.ViaNIP78, 1.8 * Said},
	{contract.ViaHint, Said / 2},
	{contract.ViaClaim, Said / 3},
	{contract.ViaDirectory, Said / 4},
}

// Weigh decides how much speaks for a relay to have an author's events, at now (Unix
// seconds): the sum of what each source of evidence is worth by then. A delivery
// weighs most, by the logarithm of how many events it was; then the author's lists,
// then the words of others. Zero is no evidence.
func Weigh(l contract.Link, now int64) (sum float64) {
	for _, w := range weights {
		version, is := l.Via[w.via]
		if !is {
			continue
		}
		worth := w.worth
		switch w.via {
		case contract.ViaDelivered:
			worth *= (1 + math.Log2(float64(1+max(l.Delivered, 0)))/5) * faded(version, now, deliveredHalf)
		case contract.ViaNIP65, contract.ViaNIP78: // their versions are times
			worth *= max(faded(version, now, saidHalf), 0.5)
		}
		sum += worth
	}
	return sum
}

// Named is what it weighs at now that a relay was last named by the way, at a time: a
// little beside any author's list, and less by the month.
func Named(at, now int64) float64 {
	if at == 0 {
		return 0
	}
	return Said / 2 * faded(at, now, deliveredHalf)
}

// faded is the share that is left at now of evidence of a time.
func faded(at, now int64, half time.Duration) float64 {
	return math.Exp2(-float64(max(now-at, 0)) / half.Seconds())
}

// OnlySeen reports whether a relay is linked to an author by its deliveries alone, which
// the author has not said, nor anybody else.
func OnlySeen(l contract.Link) bool {
	_, delivered := l.Via[contract.ViaDelivered]
	return delivered && len(l.Via) == 1
}

// Forgotten reports whether a link is of deliveries alone, the last of which is so
// long ago that it says nothing any more.
func Forgotten(l contract.Link, now int64) bool {
	return OnlySeen(l) && l.Via[contract.ViaDelivered] <= now-int64(contract.ForgetAfter/time.Second)
}

// Delivered returns a link after its relay has delivered n events, at now, that
// verified and that the local relay lacked.
func Delivered(l contract.Link, url string, n int, now int64) contract.Link {
	before := float64(l.Delivered) * faded(l.Via[contract.ViaDelivered], now, deliveredHalf)
	l.Via = maps.Clone(l.Via)
	if l.Via == nil {
		l.URL, l.Via = url, map[string]int64{}
	}
	l.Via[contract.ViaDelivered] = now
	l.Delivered = int(min(math.Round(before)+float64(n), maxDelivered))
	return l
}

// Ranked returns the relays of an author in falling order of the evidence that speaks
// for them at now: strong are those of at least the weight of a list, weak the
// others. said are the relays of the author's own lists, which the links may
// not show yet.
func Ranked(said []string, links []contract.Link, now int64) (strong, weak []string) {
	type ranked struct {
		url    string
		weight float64
	}
	links = slices.SortedFunc(slices.Values(links), func(a, b contract.Link) int { return cmp.Compare(a.URL, b.URL) })
	var list []ranked
	for i, url := range said {
		list = append(list, ranked{url, 2*Said - float64(i)/1e6})
	}
	for _, l := range links {
		w := Weigh(l, now)
		i := slices.IndexFunc(list, func(r ranked) bool { return nostr.SameRelay(r.url, l.URL) })
		if i < 0 {
			list = append(list, ranked{l.URL, w})
		} else {
			list[i].weight = max(list[i].weight, w)
		}
	}
	slices.SortStableFunc(list, func(a, b ranked) int { return cmp.Compare(b.weight, a.weight) })
	for _, r := range list {
		if r.weight >= Said {
			strong = append(strong, r.url)
		} else {
			weak = append(weak, r.url)
		}
	}
	return strong, weak
}
