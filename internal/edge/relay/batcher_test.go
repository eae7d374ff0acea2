package relay

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// asked is a relay whose answer takes a while.
type asked struct {
	batcher

	mu        sync.Mutex
	questions [][]string
}

func newAsked(size int) *asked {
	a := &asked{}
	a.batcher = batcher{size: size, ask: func(_ context.Context, keys []string) (map[string]bool, error) {
		a.mu.Lock()
		a.questions = append(a.questions, keys)
		a.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		have := map[string]bool{}
		for _, key := range keys {
			have[key] = key != "missing"
		}
		return have, nil
	}}
	return a
}

// A question under no load waits for nobody.
func TestALoneQuestionIsAskedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked(50)
		for range 3 {
			began := time.Now()
			if got, err := a.missing(t.Context(), []string{"there", "missing"}); err != nil || !slices.Equal(got, []string{"missing"}) {
				t.Errorf("%q, %v", got, err)
			}
			if took := time.Since(began); took != 10*time.Millisecond {
				t.Errorf("took %s", took)
			}
			time.Sleep(time.Second)
		}
	})
}

// Those who come while others are asked share questions, and nobody is forgotten.
func TestQuestionsThatComeMeanwhileAreGathered(t *testing.T) {
	for n, want := range map[int][]int{2: {1, 1}, 40: {1, 1, 38}, 130: {1, 1, 50, 50, 28}} {
		synctest.Test(t, func(t *testing.T) {
			a := newAsked(50)
			var all sync.WaitGroup
			began := time.Now()
			for i := range n {
				all.Go(func() {
					if got, err := a.missing(t.Context(), []string{strconv.Itoa(i)}); err != nil || len(got) > 0 {
						t.Errorf("%q, %v", got, err)
					}
				})
				synctest.Wait()
			}
			all.Wait()
			var sizes []int
			for _, keys := range a.questions {
				sizes = append(sizes, len(keys))
			}
			if took := time.Since(began); !slices.Equal(sizes, want) || took > 20*time.Millisecond {
				t.Errorf("%d asked: questions of %v, want %v, after %s", n, sizes, want, took)
			}
		})
	}
}
