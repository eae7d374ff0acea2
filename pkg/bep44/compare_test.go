package bep44_test

import (
	"errors"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

func item(t testing.TB, seq int64, value string) *bep44.Item {
	t.Helper()
	it := &bep44.Item{Seq: seq, Value: bep44.EncodeString([]byte(value))}
	if err := it.Sign(testKey()); err != nil {
		t.Fatal(err)
	}
	return it
}

func TestHigherSeqWinsAndOneSeqWithTwoValuesIsEquivocation(t *testing.T) {
	held := item(t, 5, "a")
	for _, c := range []struct {
		offered *bep44.Item
		order   bep44.Order
		put     error
	}{
		{item(t, 4, "z"), bep44.Older, bep44.ErrSeqTooLow},
		{item(t, 5, "a"), bep44.Same, nil},
		{item(t, 6, "a"), bep44.Newer, nil},
		{item(t, 5, "b"), bep44.Equivocal, bep44.ErrSeqTooLow},
	} {
		if got := bep44.Compare(c.offered, held); got != c.order {
			t.Errorf("seq %d value %s: %v, want %v", c.offered.Seq, c.offered.Value, got, c.order)
		}
		if err := bep44.Replace(held, c.offered, nil); !errors.Is(err, c.put) {
			t.Errorf("put of seq %d value %s: %v, want %v", c.offered.Seq, c.offered.Value, err, c.put)
		}
		if err := bep44.Replace(nil, c.offered, nil); err != nil {
			t.Errorf("put where nothing is: %v", err)
		}
	}
}

func TestCASNamesTheSeqThatIsReplaced(t *testing.T) {
	held, next := item(t, 5, "a"), item(t, 6, "b")
	for cas, want := range map[int64]error{5: nil, 4: bep44.ErrCASMismatch, 6: bep44.ErrCASMismatch} {
		if err := bep44.Replace(held, next, &cas); !errors.Is(err, want) {
			t.Errorf("cas %d: %v, want %v", cas, err, want)
		}
	}
	if err := bep44.Replace(nil, next, new(int64)); err != nil {
		t.Errorf("cas where nothing is stored: %v", err)
	}
}
