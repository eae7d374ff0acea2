package sim_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// ledger is what the processes did to the world.
type ledger struct {
	mu     sync.Mutex
	writes map[string][]written // by bucket and key
	offers []offer
	queued map[string]int // messages that streams took, by subject
	most   map[string]int // the same, and those of which it is not known
}

// written is a value of a KV key; nil says that it was removed.
type written struct {
	rev   uint64
	value []byte
	at    time.Time
}

func newLedger() *ledger {
	return &ledger{writes: map[string][]written{}, queued: map[string]int{}, most: map[string]int{}}
}

func (l *ledger) wrote(bucket, key string, rev uint64, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := bucket + "/" + key
	l.writes[at] = append(l.writes[at], written{rev, slices.Clone(value), time.Now()})
}

// before returns what was in KV at a time, if that has changed since.
func (l *ledger) before(bucket, key string, at time.Time) (old written, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range slices.Backward(l.writes[bucket+"/"+key]) {
		if !w.at.After(at) {
			return w, changed
		}
		changed = true
	}
	return written{}, changed
}

// offer is an event that was written to a relay.
type offer struct {
	url string
	e   nostr.Event
	at  time.Time
}

func (l *ledger) offered(url string, e nostr.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offers = append(l.offers, offer{url, e, time.Now()})
}

// liveOverlap is how far back a live subscription begins, and some time more
// for clocks that were wrong: what is as new as that may come again.
const liveOverlap = 10*time.Minute + clockError + time.Minute

// offeredAgain lists the older events that were offered after a time, and
// counts the others.
func (l *ledger) offeredAgain(begun time.Time) (old []string, young int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.offers {
		switch {
		case !o.at.After(begun):
		case o.at.Sub(time.Unix(o.e.CreatedAt, 0)) > liveOverlap:
			old = append(old, o.url+" "+o.e.ID)
		default:
			young++
		}
	}
	return old, young
}

// took notes that a stream has a message, or may have it: that was published, and the
// answer has not come, or says that it had come before.
func (l *ledger) took(subject string, sure bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most[subject]++; sure {
		l.queued[subject]++
	}
}

// mostly returns how many messages a stream took at most.
func (l *ledger) mostly(subject string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.most[subject]
}

// published returns how many it took for sure.
func (l *ledger) published(subject string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queued[subject]
}

// wentBack lists what was replaced in KV by something older, or by what is
// another's.
func (l *ledger) wentBack() (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, writes := range l.writes {
		writes = slices.DeleteFunc(slices.Clone(writes), func(w written) bool { return w.value == nil })
		slices.SortFunc(writes, func(a, b written) int { return cmp.Compare(a.rev, b.rev) })
		before := []byte("{}")
		for _, w := range writes {
			if why := older(at, before, w.value); why != "" {
				list = append(list, fmt.Sprintf("%s of revision %d goes back: %s", at, w.rev, why))
			}
			before = w.value
		}
	}
	slices.Sort(list)
	return list
}

// older says in what a value is older than the one before it.
func older(at string, before, after []byte) string {
	switch {
	case hasPrefix(at, contract.BucketRecords):
		var a, b contract.Record
		if json.Unmarshal(before, &a) != nil || json.Unmarshal(after, &b) != nil {
			return "it is no record"
		}
		if b.Seq < a.Seq || b.Seq == a.Seq && string(b.Value) != string(a.Value) {
			return fmt.Sprintf("seq %d after %d", b.Seq, a.Seq)
		}
	case hasPrefix(at, contract.BucketAuthors):
		var a, b contract.Author
		if json.Unmarshal(before, &a) != nil || json.Unmarshal(after, &b) != nil {
			return "it is no author"
		}
		if why := olderLists(strings.TrimPrefix(at, contract.BucketAuthors+"/"), a, b); why != "" {
			return why
		}
		for target := range a.Records {
			if _, still := b.Records[target]; !still {
				return "it has lost a record"
			}
		}
	}
	return ""
}

// olderLists says in what an author's lists are older than before, or not
// theirs. Versions of one signing identity only grow. Lists of two DHT keys have
// no order: the author's word about the key decides, and a later word than the
// one before.
func olderLists(pubkey string, a, b contract.Author) string {
	wasOwn, isOwn := a.DHTKeyBy == pubkey, b.DHTKeyBy == pubkey
	moved := a.DHTKey != b.DHTKey || isOwn && !wasOwn
	switch {
	case moved && wasOwn && (!isOwn || b.DHTKeyAt <= a.DHTKeyAt):
		return fmt.Sprintf("DHT key %.8s of %d after %.8s of %d", b.DHTKey, b.DHTKeyAt, a.DHTKey, a.DHTKeyAt)
	case b.Lists[contract.ViaDHT].Version > 0 && !isOwn:
		return fmt.Sprintf("a list under the DHT key %.8s, which the author did not name", b.DHTKey)
	case b.Lists[contract.ViaDHT].Version > 0 && b.Lists[contract.ViaDHT].Key != b.DHTKey:
		return fmt.Sprintf("a list under the DHT key %.8s of an author who has named %.8s", b.Lists[contract.ViaDHT].Key, b.DHTKey)
	}
	for via, list := range a.Lists {
		if (via != contract.ViaDHT || !moved) && b.Lists[via].Version < list.Version {
			return fmt.Sprintf("list via %s of version %d after %d", via, b.Lists[via].Version, list.Version)
		}
	}
	for via, list := range b.Lists {
		if slices.Contains(list.Write, strangersRelay) {
			return fmt.Sprintf("a list via %s that a stranger wrote", via)
		}
	}
	return ""
}
