package reconcile

import "github.com/relaymesh/relaymesh/pkg/nostr"

// window is a span of time that is compared on its own: since and until are
// inclusive Unix seconds, and until 0 has no end. What was found in the pass
// seen, or before it, is counted already; 0 is none.
type window struct {
	since, until int64
	seen         int32
}

// genesis is the month of the first Nostr events; what claims to be older is
// rare.
const genesis = 1_604_188_800

// split cuts a window in two, or returns false if it is too short: a single
// second, or the first two of all, as until 0 means something else. The first
// cut of all time is at the beginning of Nostr, the others in the middle.
func (w window) split(now int64) (newer, older window, ok bool) {
	end := w.until
	if end == 0 {
		end = max(now+nostr.MaxFuture, w.since)
	}
	last := w.since + (end-w.since)/2 // of the older one
	if w.since >= end || last == 0 {
		return w, w, false
	}
	if w.since < genesis && end > genesis {
		last = genesis - 1
	}
	return window{last + 1, w.until, w.seen}, window{w.since, last, w.seen}, true
}

// filter narrows a filter to the window.
func (w window) filter(f nostr.Filter) nostr.Filter {
	f.Since, f.Until = w.since, w.until
	return f
}
