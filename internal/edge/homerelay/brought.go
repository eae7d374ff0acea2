package homerelay

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Keys are free, so a relay of certain kinds that has a bound counts for a month who brought an author whom it had nothing of: a
// network of clients, or another index. Nobody may have brought more than half of the bound; and if the relay is full, authors of
// whoever has brought most give way to those of who has brought less. After a month, or once the relay's own process brings
// something of them, authors stay.

const (
	newDays   = 30  // authors are new for
	eventCost = 600 // bytes that an event takes beside its JSON, about
	// mostEvicted is how many authors give way to one event.
	mostEvicted = 8
	secondsADay = 24 * 3600
)

// bringer is who brought an event; the zero value is the relay's own process.
type bringer [8]byte

func bringerNamed(name string) bringer {
	sum := sha256.Sum256([]byte(name))
	return bringer(sum[:])
}

// arrival is how a new author came: the value in the bucket newcomers.
type arrival struct {
	day   uint32 // since 1970
	by    bringer
	bytes uint64 // of the author's events, with what each costs beside
}

const arrivalSize = 4 + 8 + 8

func readArrival(v []byte) (a arrival, ok bool) {
	if len(v) != arrivalSize {
		return a, false
	}
	return arrival{binary.BigEndian.Uint32(v), bringer(v[4:12]), binary.BigEndian.Uint64(v[12:])}, true
}

func (a arrival) value() []byte {
	return binary.BigEndian.AppendUint64(append(binary.BigEndian.AppendUint32(nil, a.day), a.by[:]...), a.bytes)
}

// key is that in the bucket brought.
func (a arrival) key(pubkey []byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, a.day), a.by[:]...), pubkey...)
}

func (st *step) arrivalOf(pubkey []byte) (arrival, bool) {
	return readArrival(st.tx.Bucket(newcomers).Get(pubkey))
}

// isKnown reports whether the relay has something of an author, or had when they were new.
func (st *step) isKnown(pubkey []byte) bool {
	k, _ := st.tx.Bucket(byAuthor).Cursor().Seek(pubkey)
	_, isNew := st.arrivalOf(pubkey)
	return isNew || bytes.HasPrefix(k, pubkey)
}

// shareOf returns the bytes of new authors whom somebody brought.
func (st *step) shareOf(by bringer) uint64 {
	if v := st.tx.Bucket(portions).Get(by[:]); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (st *step) addShare(by bringer, change int64) error {
	st.pages--
	share := max(int64(st.shareOf(by))+change, 0)
	if share == 0 {
		return st.tx.Bucket(portions).Delete(by[:])
	}
	return st.tx.Bucket(portions).Put(by[:], binary.BigEndian.AppendUint64(nil, uint64(share)))
}

// bring notes that an author whom the relay had nothing of has come, or that its own process brings something of one, before the
// event is stored.
func (st *step) bring(by bringer, pubkey []byte, day uint32) error {
	a, isNew := st.arrivalOf(pubkey)
	switch {
	case isNew && by == bringer{}:
		return st.settleIn(pubkey, a)
	case isNew || by == bringer{} || st.isKnown(pubkey):
		return nil
	}
	a = arrival{day: day, by: by}
	st.pages -= 2
	if err := st.tx.Bucket(newcomers).Put(pubkey, a.value()); err != nil {
		return err
	}
	if err := st.tx.Bucket(brought).Put(a.key(pubkey), nil); err != nil {
		return err
	}
	return st.settleOld(day)
}

// settleOld has up to two of those stay who came longest ago: more than come.
func (st *step) settleOld(today uint32) error {
	for range 2 {
		k, _ := st.tx.Bucket(brought).Cursor().First()
		if len(k) != 4+8+32 || binary.BigEndian.Uint32(k)+newDays > today {
			return nil
		}
		k = bytes.Clone(k)
		a, _ := st.arrivalOf(k[12:])
		if err := st.settleIn(k[12:], a); err != nil {
			return err
		}
	}
	return nil
}

// settleIn forgets that an author is new.
func (st *step) settleIn(pubkey []byte, a arrival) error {
	st.pages -= 2
	if err := st.tx.Bucket(newcomers).Delete(pubkey); err != nil {
		return err
	}
	if err := st.tx.Bucket(brought).Delete(a.key(pubkey)); err != nil {
		return err
	}
	return st.addShare(a.by, -int64(a.bytes))
}

// charge counts the bytes of an event that is stored, or of one that is removed as less, if its author is new.
func (st *step) charge(pubkey []byte, bytes int64) error {
	a, isNew := st.arrivalOf(pubkey)
	if !isNew {
		return nil
	}
	st.pages--
	a.bytes = uint64(max(int64(a.bytes)+bytes, 0))
	if err := st.tx.Bucket(newcomers).Put(pubkey, a.value()); err != nil {
		return err
	}
	return st.addShare(a.by, bytes)
}

// makeRoom removes new authors of whoever has brought most, until there is room for so many bytes of somebody who has brought less.
func (st *step) makeRoom(by bringer, bytes uint64, today uint32) (made bool, err error) {
	for freed, evicted := uint64(0), 0; freed < bytes; evicted++ {
		fullest, most := st.fullest()
		if fullest == by || by != (bringer{}) && most <= st.shareOf(by)+bytes || evicted == mostEvicted {
			return false, nil
		}
		pubkey := st.lastBrought(fullest, today)
		if pubkey == nil {
			return false, nil
		}
		a, _ := st.arrivalOf(pubkey)
		if err := st.evict(pubkey, a); err != nil {
			return false, err
		}
		freed += max(a.bytes, 1)
	}
	return true, nil
}

// fullest returns who has brought most.
func (st *step) fullest() (by bringer, most uint64) {
	c := st.tx.Bucket(portions).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(k) == len(by) && len(v) == 8 && binary.BigEndian.Uint64(v) > most {
			by, most = bringer(k), binary.BigEndian.Uint64(v)
		}
	}
	return by, most
}

// lastBrought returns an author of the last day on which somebody brought new ones, nil if there is none.
func (st *step) lastBrought(by bringer, today uint32) []byte {
	c := st.tx.Bucket(brought).Cursor()
	for k, _ := c.Last(); len(k) == 4+8+32; k, _ = c.Prev() { // days to come are of a clock that was ahead
		day := binary.BigEndian.Uint32(k)
		if day+newDays <= today {
			return nil
		}
		prefix := arrival{day: day, by: by}.key(nil)
		if k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) {
			return bytes.Clone(k[len(prefix):])
		}
		c.Seek(prefix[:4]) // before which is the day before
	}
	return nil
}

// evict removes an author, and that they ever were here.
func (st *step) evict(pubkey []byte, a arrival) error {
	var ids [][]byte
	c := st.tx.Bucket(byAuthor).Cursor()
	for k, _ := c.Seek(pubkey); bytes.HasPrefix(k, pubkey); k, _ = c.Next() {
		ids = append(ids, bytes.Clone(k[len(k)-idSize:]))
	}
	for _, id := range ids {
		if err := st.forget(id); err != nil {
			return err
		}
	}
	if err := st.tx.Bucket(vanished).Delete(pubkey); err != nil {
		return err
	}
	if left, isNew := st.arrivalOf(pubkey); isNew {
		a = left
	}
	return st.settleIn(pubkey, a)
}

// forget removes an event, and of a deletion that it was one.
func (st *step) forget(id []byte) error {
	r, err := load(st.tx, id)
	if err != nil {
		return err
	}
	if err := st.remove(r); err != nil || r.event.Kind != nostr.KindDeletion {
		return err
	}
	gone := st.tx.Bucket(deleted)
	for _, tag := range r.event.Tags {
		key := markOf(r, tag)
		if at := gone.Get(key); at == nil || int64(binary.BigEndian.Uint64(at)) != r.pos.createdAt() {
			continue // another deletion says it, too
		}
		st.pages--
		if err := gone.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// markOf is the key of what a tag of a deletion leaves in the bucket deleted, nil if it is nothing.
func markOf(r *record, tag nostr.Tag) []byte {
	switch tag.At(0) {
	case "e":
		if id, err := hex.DecodeString(tag.At(1)); err == nil && len(id) == idSize {
			return deletedEvent(id, r.pubkey[:])
		}
	case "a":
		if a, err := nostr.ParseAddress(tag.At(1)); err == nil && a.PubKey == r.event.PubKey {
			return deletedAddress(addressKey(a.Kind, r.pubkey[:], a.D))
		}
	}
	return nil
}

// maxEndings is how many deletions and requests to vanish of an author a relay of certain kinds keeps: the newest, so that no
// author can fill it by them.
const maxEndings = 20

// trimEndings makes room for one more of an author's deletions and requests to vanish; it refuses one that is older than all.
func (st *step) trimEndings(r *record) (refusal, err error) {
	var oldest []byte
	count := 0
	c := st.tx.Bucket(byAuthor).Cursor()
	for k, v := c.Seek(r.pubkey[:]); bytes.HasPrefix(k, r.pubkey[:]); k, v = c.Next() {
		sum, err := asSummary(v)
		if err != nil {
			return nil, err
		}
		if undeletable(sum.kind()) {
			count, oldest = count+1, bytes.Clone(k[len(r.pubkey):])
		}
	}
	switch {
	case count < maxEndings || st.tx.Bucket(byID).Get(r.id[:]) != nil:
		return nil, nil
	case bytes.Compare(r.pos[:], oldest) > 0:
		return errEndings, nil
	}
	return nil, st.forget(position(oldest).id())
}
