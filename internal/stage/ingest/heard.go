package ingest

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

const (
	// partSize is how many events a part of a heard set holds at most, unless
	// they share a second and the first bytes of their ids.
	partSize = 512
	// maxParts bounds a heard set: between 0.5 and 1 million events, the newest ones,
	// in at most 50 MB. In case of more the parts of the oldest dates are forgotten.
	maxParts = 2048
)

// heard is the set of events that the tail of one relay has handed to the intake,
// in bucket heard. It is cut in parts by date and id, each of which is one value; only
// where they begin is held in memory. Several workers may write to one set; if they
// cut it differently, some events may be heard again. It is not safe for
// concurrent use.
type heard struct {
	store stage.Store[contract.Heard]
	relay string            // its key
	parts []negentropy.Item // where each begins, ascending; never empty
}

// openHeard reads where the parts of a relay's set begin.
func openHeard(ctx context.Context, store stage.Store[contract.Heard], relay string) (*heard, error) {
	h := &heard{store: store, relay: relay}
	err := store.Each(ctx, relay+".*", func(key string, _ contract.Heard) error {
		begin, err := parsePart(strings.TrimPrefix(key, relay+"."))
		h.parts = append(h.parts, begin)
		return err
	})
	if err != nil {
		return nil, err
	}
	h.parts = sorted(h.parts)
	if len(h.parts) == 0 {
		h.parts = []negentropy.Item{{}}
	}
	return h, nil
}

// key is where a part lies: its relay, its first date and the first bytes of its
// first id.
func (h *heard) key(begin negentropy.Item) string {
	return fmt.Sprintf("%s.%016x%x", h.relay, begin.Timestamp, begin.ID[:8])
}

func parsePart(text string) (begin negentropy.Item, err error) {
	data, err := hex.DecodeString(text)
	if err != nil || len(data) != 16 {
		return begin, fmt.Errorf("%q is no part of a heard set", text)
	}
	begin.Timestamp = binary.BigEndian.Uint64(data)
	copy(begin.ID[:], data[8:])
	return begin, nil
}

// part returns the index of the part that an item belongs to, -1 if it was
// forgotten.
func (h *heard) part(item negentropy.Item) int {
	i, found := slices.BinarySearchFunc(h.parts, item, negentropy.Item.Compare)
	if !found {
		i--
	}
	return i
}

// add adds items, which it may reorder.
func (h *heard) add(ctx context.Context, items []negentropy.Item) error {
	return h.change(ctx, items, func(had, some []negentropy.Item) []negentropy.Item {
		return sorted(append(slices.Clip(had), some...))
	})
}

// remove removes items, which it may reorder.
func (h *heard) remove(ctx context.Context, items []negentropy.Item) error {
	return h.change(ctx, items, func(had, some []negentropy.Item) []negentropy.Item {
		return slices.DeleteFunc(slices.Clone(had), func(item negentropy.Item) bool {
			_, gone := slices.BinarySearchFunc(some, item, negentropy.Item.Compare)
			return gone
		})
	})
}

// change makes new parts of those that some items belong to.
func (h *heard) change(ctx context.Context, items []negentropy.Item, with func(had, some []negentropy.Item) []negentropy.Item) error {
	items = sorted(items)
	for len(items) > 0 {
		i, n := h.part(items[0]), len(items)
		if i+1 < len(h.parts) {
			n, _ = slices.BinarySearchFunc(items, h.parts[i+1], negentropy.Item.Compare)
		}
		if i >= 0 {
			some := items[:n]
			now, err := h.update(ctx, h.parts[i], func(had []negentropy.Item) []negentropy.Item { return with(had, some) })
			if err == nil && len(now) > partSize {
				err = h.cut(ctx, i, now)
			}
			if err != nil {
				return err
			}
		}
		items = items[n:]
	}
	return h.forget(ctx)
}

// update changes one part, and returns it as it is then.
func (h *heard) update(
	ctx context.Context, begin negentropy.Item, with func(had []negentropy.Item) []negentropy.Item,
) ([]negentropy.Item, error) {
	now, err := h.store.Update(ctx, h.key(begin), func(old contract.Heard, _ bool) (contract.Heard, bool) {
		had := unpack(old.Events)
		items := with(had)
		return contract.Heard{Events: pack(items)}, !slices.Equal(had, items)
	})
	return unpack(now.Events), err
}

// cut makes several parts of one that is too large. The new ones are written first:
// what lies in two parts meanwhile is no fault, what lies in none is heard again.
func (h *heard) cut(ctx context.Context, i int, items []negentropy.Item) error {
	var begins []negentropy.Item
	for some := range slices.Chunk(items[partSize/2:], partSize/2) {
		begin := negentropy.Item{Timestamp: some[0].Timestamp}
		copy(begin.ID[:8], some[0].ID[:])
		_, err := h.update(ctx, begin, func(had []negentropy.Item) []negentropy.Item {
			return sorted(append(slices.Clip(had), some...))
		})
		if err != nil {
			return err
		}
		begins = append(begins, begin)
	}
	_, err := h.update(ctx, h.parts[i], func(had []negentropy.Item) []negentropy.Item {
		n, _ := slices.BinarySearchFunc(had, begins[0], negentropy.Item.Compare)
		return had[:n]
	})
	h.parts = sorted(append(h.parts, begins...))
	return err
}

// forget removes the parts of the oldest dates if there are too many.
func (h *heard) forget(ctx context.Context) error {
	for len(h.parts) > maxParts {
		if _, err := h.store.Remove(ctx, h.key(h.parts[0]), func(contract.Heard) bool { return true }); err != nil {
			return err
		}
		h.parts = h.parts[1:]
	}
	return nil
}

// floor is the first second of which the set knows all that was heard: 0 unless
// parts were forgotten.
func (h *heard) floor() int64 {
	if first := h.parts[0]; first != (negentropy.Item{}) {
		return int64(first.Timestamp) + 1
	}
	return 0
}

// span returns where the span of time begins that ends with a second (0: the end
// of time) and is some parts large; it is not below the floor.
func (h *heard) span(until int64, parts int) (since int64) {
	i := len(h.parts) - 1
	if until > 0 {
		i = h.part(negentropy.Item{Timestamp: uint64(until)})
	}
	return max(h.floor(), int64(h.parts[max(i-parts+1, 0)].Timestamp))
}

// load returns what was heard of a span of time, both ends included.
func (h *heard) load(ctx context.Context, since, until int64) (items []negentropy.Item, err error) {
	last := len(h.parts) - 1
	if until > 0 {
		last = h.part(negentropy.Item{Timestamp: uint64(until) + 1})
	}
	for _, begin := range h.parts[max(h.part(negentropy.Item{Timestamp: uint64(since)}), 0) : last+1] {
		part, _, err := h.store.Get(ctx, h.key(begin))
		if err != nil {
			return nil, err
		}
		for _, item := range unpack(part.Events) {
			if at := int64(item.Timestamp); at >= since && (until == 0 || at <= until) {
				items = append(items, item)
			}
		}
	}
	return sorted(items), nil
}

func sorted(items []negentropy.Item) []negentropy.Item {
	slices.SortFunc(items, negentropy.Item.Compare)
	return slices.Compact(items)
}

func pack(items []negentropy.Item) (data []byte) {
	last := uint64(0)
	for i := range items {
		data = binary.AppendUvarint(data, items[i].Timestamp-last)
		data = append(data, items[i].ID[:]...)
		last = items[i].Timestamp
	}
	return data
}

// unpack is the inverse of pack. What cannot be read is heard again.
func unpack(data []byte) (items []negentropy.Item) {
	at := uint64(0)
	for {
		delta, n := binary.Uvarint(data)
		if n <= 0 || len(data) < n+len(negentropy.ID{}) {
			return items
		}
		at += delta
		items = append(items, negentropy.Item{Timestamp: at, ID: negentropy.ID(data[n:])})
		data = data[n+len(negentropy.ID{}):]
	}
}
