package syncing

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/memkv"
)

// All authors whom relaymesh finds when it comes to a relay are surveyed at once; of keys
// that come later there are never more than of those, or fewFresh.
func TestAuthorsOfTheFirstDayAreSurveyedAtOnce(t *testing.T) {
	for name, c := range map[string]struct{ known, first, later, want int }{
		"a cold start":                  {0, 5000, 0, 5000},
		"a flood after a few":           {0, 10, 5000, 10 + fewFresh},
		"a flood after a cold start":    {0, 3000, 9000, 6000},
		"a flood a week after that":     {3000, 0, 9000, 6000},
		"a flood at a relay of no user": {0, 1, 5000, 1 + fewFresh},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, now := newTown(t), time.Now().Unix()
			add := func(what string, n int, at int64) {
				for i := range n {
					w.Authors.(*memkv.Bucket[contract.Author]).Of[fmt.Sprintf("%s%063x", what, i)] = contract.Author{FirstSeen: at + int64(i%3600)}
				}
			}
			add("a", c.known, now-60*86400)
			add("b", c.first, now-2*86400)
			add("c", c.later, now-3600)
			if err := w.Survey.census.take(t.Context(), w.Stage); err != nil {
				t.Fatal(err)
			}
			if n := len(w.Survey.census.authors); n != c.want {
				t.Errorf("%s: %d authors are surveyed, want %d", name, n, c.want)
			}
		})
	}
}
