package relay

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// refusesLimits answers as a relay that takes no limit of more than most, in these words,
// and notes the limits that it was asked for.
func refusesLimits(t *testing.T, most int, words string, all []nostr.Event, limits *[]int) func(*peer) {
	return func(p *peer) {
		for req := p.expect("REQ"); req != nil; req = p.expect("REQ") {
			var f struct {
				Limit int `json:"limit"`
			}
			if err := json.Unmarshal(req[1], &f); err != nil {
				t.Error(err)
			}
			*limits = append(*limits, f.Limit)
			if notice, ok := strings.CutPrefix(words, "NOTICE "); ok && f.Limit > most {
				p.send("NOTICE", notice)
				continue
			} else if f.Limit > most {
				p.send("CLOSED", req[0], words)
				continue
			}
			for _, e := range all[:min(f.Limit, len(all))] {
				p.send("EVENT", req[0], e)
			}
			p.send("EOSE", req[0])
		}
	}
}

func TestARelayThatRefusesALimitIsAskedForLess(t *testing.T) {
	all := notes(t, 40)
	for words, want := range map[string][]int{
		"invalid: limit too large, max 30": {500, 30, 30},
		"error: limit must be <= 30":       {500, 30, 30},
		"NOTICE invalid: max_limit is 30":  {500, 30, 30},
		"blocked: max limit exceeded":      {500, 125, 31, 31},
	} {
		synctest.Test(t, func(t *testing.T) {
			var limits []int
			c := fakeInFakeTime(t, refusesLimits(t, 31, words, all, &limits))
			for range 2 {
				got, n := 0, want[len(want)-1]
				for _, err := range c.Query(t.Context(), nostr.Filter{Kinds: []int{1}, Limit: 500}) {
					if err != nil {
						t.Errorf("%s: %v", words, err)
						continue
					}
					got++
				}
				if got != n {
					t.Errorf("%s: %d events, want %d", words, got, n)
				}
			}
			if synctest.Wait(); !slices.Equal(limits, want) {
				t.Errorf("%s: asked for %v, want %v", words, limits, want)
			}
		})
	}
}

func TestOtherRefusalsAreNoSmallerLimit(t *testing.T) {
	for _, words := range []string{
		"rate-limited: limit 10 a minute", "error: subscription limit of 20", "blocked: not for you", "invalid: limit not allowed",
	} {
		synctest.Test(t, func(t *testing.T) {
			var limits []int
			c := fakeInFakeTime(t, refusesLimits(t, 0, words, nil, &limits))
			for _, err := range c.Query(t.Context(), nostr.Filter{Limit: 100}) {
				if reconcile.RefusalOf(err) == nil || !strings.Contains(err.Error(), words[strings.Index(words, ": ")+2:]) {
					t.Errorf("%s: %v", words, err)
				}
			}
			if synctest.Wait(); len(limits) == 0 || len(limits) > 2 {
				t.Errorf("%s: asked for %v", words, limits)
			}
		})
	}
	if n := smallerLimit(errors.New("limit"), []nostr.Filter{{Limit: 100}}); n != 0 {
		t.Errorf("an error that is no refusal: %d", n)
	}
}

// What a live subscription has learnt holds for the queries after it, and those that ask for
// less take none of it back.
func TestASmallerLimitIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var limits []int
		c := fakeInFakeTime(t, refusesLimits(t, 30, "invalid: limit too large, max 30", notes(t, 1), &limits))
		for u, err := range c.Subscribe(t.Context(), nostr.Filter{Limit: 500}) {
			if err != nil || u.EOSE {
				break
			}
		}
		for _, limit := range []int{5, 500} {
			for _, err := range c.Query(t.Context(), nostr.Filter{Limit: limit}) {
				if err != nil {
					t.Error(err)
				}
			}
		}
		if synctest.Wait(); !slices.Equal(limits, []int{500, 30, 5, 30}) {
			t.Errorf("asked for %v", limits)
		}
	})
}

// A filter of many ids loses none of them.
func TestIDsAreNotCutByASmallerLimit(t *testing.T) {
	ids := slices.Repeat([]string{strings.Repeat("a", 64)}, 50)
	got := limited([]nostr.Filter{{IDs: ids, Limit: 50}, {IDs: ids[:20], Limit: 50}, {Limit: 50}, {}}, 30)
	for i, want := range []int{0, 30, 30, 0} {
		if got[i].Limit != want {
			t.Errorf("filter %d has limit %d, want %d", i, got[i].Limit, want)
		}
	}
}
