package fetch

import (
	"slices"
	"time"
)

const (
	// asking is how many relays are asked for one note at a time.
	asking = 6
	// hedge is how long a relay may be silent before it loses its place to the
	// next one; it may still answer.
	hedge = 150 * time.Millisecond
)

// turns decides which relay is asked when. The likeliest come first, asking at
// a time; one that has answered, or has been silent for hedge, makes place for
// the next.
type turns struct {
	known map[string]bool      // every relay that has ever come up
	room  int                  // how many more may come up
	queue []string             // to be asked, likeliest first
	open  map[string]time.Time // asked and not answered, since when
}

// newTurns starts with relays that are not to be asked (again).
func newTurns(not ...string) turns {
	t := turns{known: map[string]bool{}, room: maxRelays, open: map[string]time.Time{}}
	for _, url := range not {
		t.known[url] = true
	}
	return t
}

// add queues the relays that are new, and returns how many those are.
func (t *turns) add(urls ...string) (added int) {
	for _, url := range urls {
		if !t.known[url] && t.room > 0 {
			t.known[url] = true
			t.room--
			t.queue = append(t.queue, url)
			added++
		}
	}
	return added
}

// next returns the relays to ask now, which are then open.
func (t *turns) next(now time.Time) (ask []string) {
	for places := asking - t.fresh(now); places > 0 && len(t.queue) > 0; places-- {
		ask = append(ask, t.queue[0])
		t.open[t.queue[0]] = now
		t.queue = t.queue[1:]
	}
	return ask
}

// answered closes an open relay, whatever it said.
func (t *turns) answered(url string) { delete(t.open, url) }

// fresh counts the relays that hold a place: asked less than hedge ago.
func (t *turns) fresh(now time.Time) (n int) {
	for _, since := range t.open {
		if now.Sub(since) < hedge {
			n++
		}
	}
	return n
}

// idle reports whether no answer is to be expected soon.
func (t *turns) idle(now time.Time) bool { return len(t.queue) == 0 && t.fresh(now) == 0 }

// wait returns after which time a relay will lose its place; 0 if none has one.
func (t *turns) wait(now time.Time) (wait time.Duration) {
	for _, since := range t.open {
		if left := hedge - now.Sub(since); left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
	}
	return wait
}

// silent lists the open relays.
func (t *turns) silent() (urls []string) {
	for url := range t.open {
		urls = append(urls, url)
	}
	slices.Sort(urls)
	return urls
}
