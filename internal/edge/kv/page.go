package kv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// pageBytes bounds what one question of [Bucket.Page] brings.
const pageBytes = 4 << 20

// Page is a part of a bucket.
type Page[T any] struct {
	Entries []Entry[T]
	// Next is where the following page begins, 0 if this is the last.
	Next uint64
	// Left is about how many more there are, removed keys included.
	Left uint64
	// Bad are the errors of values that did not decode; they name their keys.
	Bad []error
}

// Page reads at most limit values (1000 at most) whose keys match a pattern,
// from a position on, 0 for the beginning: those that were not written for the
// longest time come first. It asks for no more than it returns, however large
// the bucket is, and needs no consumer. A key that is written meanwhile moves
// to the end.
func (b *Bucket[T]) Page(ctx context.Context, pattern string, from uint64, limit int) (Page[T], error) {
	messages, err := jetstreamext.GetBatch(ctx, b.js, "KV_"+b.name, limit, jetstreamext.GetBatchSeq(max(1, from)),
		jetstreamext.GetBatchSubject(b.subject(pattern)), jetstreamext.GetBatchMaxBytes(pageBytes))
	if err != nil {
		return Page[T]{}, fmt.Errorf("read %s of bucket %s: %w", pattern, b.name, err)
	}
	var p Page[T]
	for m, err := range messages {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			break
		}
		if err != nil {
			return p, fmt.Errorf("read %s of bucket %s: %w", pattern, b.name, err)
		}
		p.Left, _ = strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64)
		p.Next = m.Sequence + 1
		b.collect(m, &p)
	}
	if p.Left == 0 {
		p.Next = 0
	}
	return p, nil
}

// GetAll reads the values of some keys (1000 at most) at once. Those that do
// not exist are left out.
func (b *Bucket[T]) GetAll(ctx context.Context, keys []string) (map[string]T, error) {
	out := map[string]T{}
	if len(keys) == 0 {
		return out, nil
	}
	messages, err := b.last(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("read %d keys of bucket %s: %w", len(keys), b.name, err)
	}
	var p Page[T]
	for _, m := range messages {
		b.collect(m, &p)
	}
	for _, e := range p.Entries {
		out[e.Key] = e.Value
	}
	return out, errors.Join(p.Bad...)
}

// errCut says that a question has not brought all: there are more than 1024, or an answer
// got lost.
var errCut = errors.New("interrupted: the server has not sent everything")

// last reads the last messages of keys, or of all that match patterns, with one question and
// without a consumer.
func (b *Bucket[T]) last(ctx context.Context, patterns ...string) (all []*jetstream.RawStreamMsg, err error) {
	contract.Waits(ctx)
	subjects := make([]string, len(patterns))
	for i, pattern := range patterns {
		subjects[i] = b.subject(pattern)
	}
	messages, err := jetstreamext.GetLastMsgsFor(ctx, b.js, "KV_"+b.name, subjects)
	if err != nil {
		return nil, err
	}
	none := false
	for m, err := range messages {
		switch {
		case errors.Is(err, jetstreamext.ErrNoMessages):
			none = true
		case errors.Is(err, jetstreamext.ErrBatchUnsupported): // which a refusal for too many is taken for
			return nil, errCut
		case err != nil:
			return nil, err
		default:
			all = append(all, m)
		}
		if none {
			break
		}
	}
	// The iteration also ends, without a word, where nothing comes any more.
	if whole := len(all) > 0 && all[len(all)-1].Header.Get("Nats-Num-Pending") == "0"; !whole && (!none || len(all) > 0) {
		return nil, cmp.Or(context.Cause(ctx), errCut)
	}
	return all, nil
}

// collect adds a message of the bucket's stream to a page, unless it is the
// marker of a removed key.
func (b *Bucket[T]) collect(m *jetstream.RawStreamMsg, p *Page[T]) {
	if Removed(m.Header) {
		return
	}
	key := m.Subject[len(b.subject("")):]
	value, err := b.decode(key, m.Data)
	if err != nil {
		p.Bad = append(p.Bad, err)
		return
	}
	p.Entries = append(p.Entries, Entry[T]{key, value})
}

func (b *Bucket[T]) subject(key string) string { return "$KV." + b.name + "." + key }
