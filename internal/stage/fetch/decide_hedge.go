package fetch

import (
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// asking is how many relays are asked for one note at a time.
	asking = 6
	// hedge is the silence after which the next relay is asked as well; the first
	// may still answer.
	hedge = 150 * time.Millisecond
)

// hedger decides which relay is asked when. The likeliest come first, asking at
// a time; one that has answered, or has been silent for hedge, frees its slot
// for the next.
type hedger struct {
	seen  []string             // every relay that has ever come up
	left  int                  // how many more may come up
	queue []string             // to be asked, likeliest first
	open  map[string]time.Time // asked and not answered, since when
}

// newHedger starts with relays that are not to be asked (again).
func newHedger(not ...string) hedger {
	return hedger{seen: slices.Clone(not), left: maxRelays, open: map[string]time.Time{}}
}

// add queues the relays that are new, and returns how many those are.
func (t *hedger) add(urls ...string) (added int) {
	for _, url := range urls {
		if !nostr.HasRelay(t.seen, url) && t.left > 0 {
			t.seen = append(t.seen, url)
			t.left--
			t.queue = append(t.queue, url)
			added++
		}
	}
	return added
}

// next returns the relays to ask now, which are then open.
func (t *hedger) next(now time.Time) (ask []string) {
	for slots := asking - t.fresh(now); slots > 0 && len(t.queue) > 0; slots-- {
		ask = append(ask, t.queue[0])
		t.open[t.queue[0]] = now
		t.queue = t.queue[1:]
	}
	return ask
}

// answered closes an open relay, whatever it said.
func (t *hedger) answered(url string) { delete(t.open, url) }

// fresh counts the relays that hold a slot: asked less than hedge ago.
func (t *hedger) fresh(now time.Time) (n int) {
	for _, since := range t.open {
		if now.Sub(since) < hedge {
			n++
		}
	}
	return n
}

// idle reports whether no answer is to be expected soon.
func (t *hedger) idle(now time.Time) bool { return len(t.queue) == 0 && t.fresh(now) == 0 }

// wait returns after which time a relay will free its slot; 0 if none has one.
func (t *hedger) wait(now time.Time) (wait time.Duration) {
	for _, since := range t.open {
		if left := hedge - now.Sub(since); left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
	}
	return wait
}

// silent lists the open relays.
func (t *hedger) silent() (urls []string) {
	for url := range t.open {
		urls = append(urls, url)
	}
	slices.Sort(urls)
	return urls
}
