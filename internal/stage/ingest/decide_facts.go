package ingest

import (
	"errors"
	"fmt"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/bep44"

	"github.com/relaymesh/relaymesh/internal/stage"
)

// keyClaim says that key is the DHT key of an author.
type keyClaim struct {
	key string
	source
}

// source is who claims something ("" for a producer on the bus) and when the claim
// was made, in Unix seconds; again says that it has been handled before, with
// what success is not known.
type source struct {
	by    string
	at    int64
	again bool
}

// learnKey puts a claim into an author. The author's own claim replaces
// anyone's and their own older one; a stranger's only fills a gap, since it
// could name a key under which the stranger publishes. A list of the key before
// goes: it is not the author's any more, or never was.
func learnKey(pubkey string, a contract.Author, c keyClaim) contract.Author {
	own, wasOwn := c.by == pubkey, stage.OwnKey(pubkey, a)
	switch {
	case c.key == "" || a.DHTKey != "" && !own || wasOwn && c.at <= a.DHTKeyAt:
		return a
	case wasOwn && c.key == a.DHTKey:
		a.DHTKeyAt = c.at // said again: what was said in between does not count
		return a
	}
	a.DHTKey, a.DHTKeyBy, a.DHTKeyAt = c.key, c.by, c.at
	a.NextResolve = 0 // look there now
	return stage.OwnLists(pubkey, a)
}

// cachedAuthor is what is remembered of an author to leave KV alone: while it covers
// what an event says of them, the event neither changes their value there nor
// makes a look-up due.
type cachedAuthor struct {
	key   keyClaim
	until int64 // Unix seconds
}

// remember returns what is known of an author for whom author.seen has been
// published at now if that was due; it is published once in resolveEvery
// seconds.
func remember(a contract.Author, now, resolveEvery int64) cachedAuthor {
	until := now + resolveEvery
	if a.NextResolve > now {
		until = a.NextResolve
	}
	return cachedAuthor{keyClaim{a.DHTKey, source{by: a.DHTKeyBy, at: a.DHTKeyAt}}, min(until, a.LastSeen+writeSeenEvery)}
}

// covers reports whether a claim at now changes nothing.
func (k cachedAuthor) covers(pubkey string, c keyClaim, now int64) bool {
	was := contract.Author{DHTKey: k.key.key, DHTKeyBy: k.key.by, DHTKeyAt: k.key.at}
	return now < contract.Believe(k.until, now, writeSeenEvery*time.Second) && sameKey(was, learnKey(pubkey, was, c))
}

// sameKey reports whether two states of an author have one DHT key by one claim.
// The same key claimed again later differs: an own claim of another key that was
// made in between, and comes late, must not win.
func sameKey(a, b contract.Author) bool {
	return a.DHTKey == b.DHTKey && a.DHTKeyBy == b.DHTKeyBy && a.DHTKeyAt == b.DHTKeyAt
}

// writeSeenEvery is how old LastSeen may be, in seconds: not every event is
// worth a write.
const writeSeenEvery = 24 * 3600

// seeAuthor notes that an author was seen at now.
func seeAuthor(a contract.Author, now int64) contract.Author {
	if a.FirstSeen == 0 {
		a.FirstSeen = now
	}
	a.LastSeen = max(a.LastSeen, now)
	return a
}

// errStale is why a record is refused: it would go back.
var errStale = errors.New("seq")

// replaceRecord decides whether a signed item replaces the one that is kept.
// nil and false means that it is kept already.
func replaceRecord(old, put contract.Record) (write bool, err error) {
	item, err := stage.Item(put)
	if err != nil {
		return false, err
	}
	was, broken := stage.Item(old)
	if broken != nil {
		return true, nil //nolint:nilerr // what is stored is of no use
	}
	switch bep44.Compare(&item, &was) {
	case bep44.Newer:
		return true, nil
	case bep44.Older:
		return false, fmt.Errorf("%w: %d is lower than %d, which is kept", errStale, item.Seq, was.Seq)
	case bep44.Equivocal:
		return false, fmt.Errorf("%w: %d was signed before for another value; sign again with a higher one", errStale, item.Seq)
	default:
		return false, nil
	}
}

// checkItem is the item's Check with the field at fault in front.
func checkItem(item bep44.Item) error {
	err := item.Check()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bep44.ErrSaltTooBig):
		return fmt.Errorf("salt: %w", err)
	case item.Seq < 0 || item.Seq > bep44.MaxSeq:
		return fmt.Errorf("seq: %w", err)
	}
	return fmt.Errorf("value: %w", err)
}
