package stage

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
)

func TestWhatCountsOfANewAuthorsList(t *testing.T) {
	const now = 1_700_000_000
	many := func(from, to int, pad string) (urls []string) {
		for i := from; i < to; i++ {
			urls = append(urls, fmt.Sprintf("wss://relay%d.example/%s", i, pad))
		}
		return urls
	}
	long := strings.Repeat("x", 200)
	for name, tc := range map[string]struct {
		list        contract.List
		write, read []string
		cut         bool
	}{
		"as many as people use": {list: contract.List{Write: many(0, 4, "")}, write: many(0, 4, "")},
		"one more":              {list: contract.List{Write: many(0, 5, "")}, write: many(0, 4, ""), cut: true},
		"the same twice":        {list: contract.List{Write: many(0, 4, ""), Read: many(0, 4, "")}, write: many(0, 4, ""), read: many(0, 4, "")},
		"twenty of both": {
			list: contract.List{Write: many(0, 20, ""), Read: many(0, 20, "")}, write: many(0, 4, ""), read: many(0, 4, ""), cut: true,
		},
		"those written to first": {
			list: contract.List{Write: many(0, 3, ""), Read: many(3, 9, "")}, write: many(0, 3, ""), read: many(3, 4, ""), cut: true,
		},
		"one long one": {list: contract.List{Write: many(0, 1, long+long)}, write: many(0, 1, long+long)},
		"long ones":    {list: contract.List{Write: many(0, 3, long)}, write: many(0, 1, long), cut: true},
		"cut before":   {list: contract.List{Write: many(0, 1, ""), Cut: true}, write: many(0, 1, ""), cut: true},
	} {
		got := Counted(contract.Author{FirstSeen: now - 60}, tc.list, now)
		if !slices.Equal(got.Write, tc.write) || !slices.Equal(got.Read, tc.read) || got.Cut != tc.cut {
			t.Errorf("%s: %d to write, %d to read, cut %v", name, len(got.Write), len(got.Read), got.Cut)
		}
	}
	all := contract.List{Write: many(0, 20, "")}
	for name, known := range map[string]contract.Author{
		"here for long":                  {FirstSeen: now - int64(contract.LongHere/time.Second)},
		"of the operator's web of trust": {FirstSeen: now, Trusted: true},
	} {
		if got := Counted(known, all, now); len(got.Write) != 20 || got.Cut {
			t.Errorf("%s: %d relays count", name, len(got.Write))
		}
	}
}
