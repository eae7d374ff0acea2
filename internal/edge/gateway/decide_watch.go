package gateway

import (
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// maxWanted is how many events one REQ is watched for.
	maxWanted = 1000
	// waitedFor is how many missing ones the end of stored events waits for at most.
	waitedFor = 20
)

// listed are the replaceable kinds that clients ask of authors by kind alone:
// profiles, follow lists, relay lists, and relays for private messages.
var listed = []int{0, 3, 10002, 10050}

// want is an event that a REQ names: by id, or by address.
type want struct {
	id      string
	address nostr.Address
}

// question is a REQ of which some filters name what they want.
type question struct {
	filters []nostr.Filter
	wants   [][]want // by filter
	sent    []int    // events that the relay has sent, by filter
	have    map[want]bool
}

// newQuestion returns nil for filters that name nothing.
func newQuestion(filters []nostr.Filter) *question {
	q := &question{filters: filters, wants: make([][]want, len(filters)), sent: make([]int, len(filters)), have: map[want]bool{}}
	left := maxWanted
	for i := range filters {
		q.wants[i] = wantsOf(&filters[i], left)
		left -= len(q.wants[i])
		for _, w := range q.wants[i] {
			q.have[w] = false
		}
	}
	if len(q.have) == 0 {
		return nil
	}
	return q
}

// size is how many events are wanted, each as often as it is named.
func (q *question) size() (n int) {
	for _, wants := range q.wants {
		n += len(wants)
	}
	return n
}

// wantsOf returns what a filter names, at most so many.
func wantsOf(f *nostr.Filter, most int) (wants []want) {
	if f.Limit == nostr.LimitZero || f.Void() {
		return nil
	}
	add := func(w want) { wants = append(wants, w) }
	if f.IDs != nil {
		for _, id := range f.IDs {
			if len(wants) < most && nostr.IsHex(id, 32) {
				add(want{id: id})
			}
		}
		return wants
	}
	// A filter for what is new since a time says nothing of what is older.
	if f.Since != 0 || f.Until != 0 {
		return nil
	}
	for _, kind := range f.Kinds {
		values := []string{""}
		switch {
		case slices.Contains(listed, kind) && len(f.Tags) == 0:
		case nostr.Addressable(kind) && len(f.Tags) == 1 && f.Tags["d"] != nil:
			values = f.Tags["d"]
		default:
			continue
		}
		for _, author := range f.Authors {
			for _, d := range values {
				a := nostr.Address{Kind: kind, PubKey: author, D: d}
				if len(wants) < most && nostr.IsHex(author, 32) && len(a.String()) <= nostr.MaxAddressBytes {
					add(want{address: a})
				}
			}
		}
	}
	return wants
}

// saw takes note of an event that was sent.
func (q *question) saw(e *nostr.Event) {
	q.mark(want{id: e.ID})
	if a, found := nostr.AddressOf(e); found {
		q.mark(want{address: a})
	}
	for i := range q.filters {
		if q.filters[i].Match(e) {
			q.sent[i]++
		}
	}
}

func (q *question) mark(w want) {
	if _, wanted := q.have[w]; wanted {
		q.have[w] = true
	}
}

// missing returns what the filters name and was not sent, each once. A filter that
// got as many as it wants misses nothing.
func (q *question) missing() (list []want) {
	listed := map[want]bool{}
	for i, wants := range q.wants {
		if q.full(i) {
			continue
		}
		for _, w := range wants {
			if !q.have[w] && !listed[w] {
				listed[w] = true
				list = append(list, w)
			}
		}
	}
	return list
}

// full reports whether a filter got as many events as it wants.
func (q *question) full(i int) bool {
	limit := q.filters[i].Limit
	return limit > 0 && q.sent[i] >= limit
}

// takes reports whether a found event answers what is wanted: a filter that is not
// full matches it, and it is for everybody to read.
func (q *question) takes(w want, e *nostr.Event) bool {
	if q.have[w] || !w.is(e) || nostr.Private(e.Kind) {
		return false
	}
	for i := range q.filters {
		if f := &q.filters[i]; f.Limit != nostr.LimitZero && !q.full(i) && f.Match(e) {
			return true
		}
	}
	return false
}

// is reports whether an event is the one that is wanted.
func (w want) is(e *nostr.Event) bool {
	if w.id != "" {
		return e.ID == w.id
	}
	return w.address.Of(e)
}
