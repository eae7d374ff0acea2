package homerelay

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// vanishStep is how many index entries one step of a removal reads: an author may
// have a hundred thousand events, and others wait to write.
const vanishStep = 1000

// allRelays is the value of a relay tag that means every relay (NIP-62).
const allRelays = "ALL_RELAYS"

// asksToVanish reports whether an event is a request to vanish from this relay (NIP-62).
func (s *store) asksToVanish(e *nostr.Event) bool {
	return e.Kind == nostr.KindVanish && slices.ContainsFunc(e.Tags, func(t nostr.Tag) bool {
		return t.At(0) == "relay" && (t.At(1) == allRelays || s.isOurs(t.At(1)))
	})
}

// isOurs reports whether a URL is one of this relay.
func (s *store) isOurs(raw string) bool {
	url, err := nostr.NormalizeRelayURL(raw, true)
	return err == nil && nostr.HasRelay(s.urls, url)
}

// markVanished keeps away what an author wrote, and what was wrapped for them, up to
// the request. What is stored of it is removed by vanish.
func markVanished(tx *bbolt.Tx, r *record) error {
	at := r.pos.createdAt()
	if old := tx.Bucket(vanished).Get(r.pubkey[:]); old != nil {
		at = max(at, int64(binary.BigEndian.Uint64(old)))
	}
	return tx.Bucket(vanished).Put(r.pubkey[:], append(binary.BigEndian.AppendUint64(nil, uint64(at)), 1))
}

// hasVanished reports whether an event is one of those that markVanished keeps away.
// Requests to vanish stay, since other relays may have to hear of them.
func hasVanished(tx *bbolt.Tx, r *record) bool {
	if r.event.Kind == nostr.KindVanish {
		return false
	}
	from := func(pubkey []byte) bool {
		at := tx.Bucket(vanished).Get(pubkey)
		return at != nil && r.pos.createdAt() <= int64(binary.BigEndian.Uint64(at))
	}
	if from(r.pubkey[:]) {
		return true
	}
	return r.event.Kind == nostr.KindGiftWrap && slices.ContainsFunc(r.event.Tags, func(t nostr.Tag) bool {
		recipients := decodeAll([]string{t.At(1)})
		return t.At(0) == "p" && len(recipients) > 0 && from(recipients[0])
	})
}

// vanish removes what markVanished keeps away and is stored, in several steps. What
// a crash leaves of it is removed by the next start.
func (s *store) vanish(p party, pubkey []byte) error {
	var mark []byte
	err := s.view(func(tx *bbolt.Tx) error {
		mark = bytes.Clone(tx.Bucket(vanished).Get(pubkey))
		return nil
	})
	if err != nil {
		return err
	}
	newest := upTo(int64(binary.BigEndian.Uint64(mark)))
	for _, in := range []struct{ bucket, prefix []byte }{
		{byAuthor, authorPrefix(pubkey)}, {byTag, tagPrefix('p', hex.EncodeToString(pubkey))},
	} {
		for next := slices.Concat(in.prefix, newest[:]); next != nil; {
			from := next
			left, err := s.step(s.ctx, p, func(st *step) (err error) {
				next, err = st.removeVanished(in.bucket, in.prefix, from)
				return err
			})
			if err == nil {
				err = s.settle(p, left...)
			}
			if err != nil {
				return err
			}
		}
	}
	_, err = s.step(s.ctx, p, func(st *step) error {
		if !bytes.Equal(st.tx.Bucket(vanished).Get(pubkey), mark) {
			return nil // a later request has more to remove
		}
		return st.tx.Bucket(vanished).Put(pubkey, mark[:8])
	})
	return err
}

// removeVanished removes what is to be gone among the next entries of an index, and
// returns where to go on, nil at the end.
func (st *step) removeVanished(bucket, prefix, from []byte) (next []byte, err error) {
	var keys [][]byte
	tx, step := st.tx, 0
	c := tx.Bucket(bucket).Cursor()
	for k, v := c.Seek(from); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if step++; step > vanishStep {
			next = bytes.Clone(k)
			break
		}
		sum, err := asSummary(v)
		if err != nil {
			return nil, err
		}
		if sum.kind() == nostr.KindGiftWrap || bytes.Equal(bucket, byAuthor) {
			keys = append(keys, bytes.Clone(k))
		}
	}
	for _, key := range keys {
		if st.pages <= 0 {
			return key, nil
		}
		r, err := load(tx, key[len(key)-idSize:])
		if errors.Is(err, errRemoved) {
			continue
		}
		if err == nil && hasVanished(tx, r) {
			err = st.remove(r)
		}
		if err != nil {
			return nil, err
		}
	}
	return next, nil
}

// resumeVanishing ends the removals that a crash has left.
func (s *store) resumeVanishing() error {
	var left [][]byte
	err := s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(vanished).ForEach(func(pubkey, mark []byte) error {
			if len(mark) > 8 {
				left = append(left, bytes.Clone(pubkey))
			}
			return nil
		})
	})
	for _, pubkey := range left {
		err = errors.Join(err, s.vanish(party{}, pubkey))
	}
	return err
}
