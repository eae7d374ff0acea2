package console

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
)

// SurveyRow is a slice of the authors in the list.
type SurveyRow struct {
	Slice   string `json:"slice"`
	Authors int    `json:"authors"`
	Passed  int64  `json:"passed"` // when its last pass began
	Behind  bool   `json:"behind"` // that is long ago
	Relays  int    `json:"relays"` // that were asked
	Whole   int    `json:"whole"`  // of them, compared in whole within 7 days
	Yielded int    `json:"yielded"`
	Bytes   int64  `json:"bytes"` // of the day of the last pass, about
	Why     string `json:"why,omitempty"`
}

// State of a slice.
const (
	surveyBehind  = "behind"  // it has authors, and has had no pass for long
	surveyWaiting = "waiting" // it has not had any
	surveyPassed  = "passed"
)

var surveyOrder = []string{surveyBehind, surveyWaiting, surveyPassed}

func (s surveyFacts) state(now int64) string {
	switch {
	case s.behind(now):
		return surveyBehind
	case s.passed == 0:
		return surveyWaiting
	}
	return surveyPassed
}

type surveysView struct {
	pager
	sorting

	Slices []SurveyRow `json:"slices"`
	// State is what the list is filtered by, "" for nothing; States are counted over all slices.
	State  string   `json:"state,omitempty"`
	States []Choice `json:"states"`
}

func (c *Console) surveys(r *http.Request) (any, error) {
	from, err := position(r)
	if err != nil {
		return nil, err
	}
	only, err := chosen(r, "state", surveyOrder)
	if err != nil {
		return nil, err
	}
	by, err := sortingOf(r, c.base+"/surveys", []string{"state"}, []string{"slice", "authors", "passed", "events"})
	if err != nil {
		return nil, err
	}
	bucket, err := kv.Open[contract.Survey](r.Context(), c.js, contract.BucketSurveys)
	if err != nil {
		return nil, need(err)
	}
	keys, states := c.counter.surveysIn(only, by)
	page, err := pageOf(r.Context(), bucket, keys, from)
	if err != nil {
		return nil, err
	}
	v := surveysView{pager: pagerOf(page), sorting: by, State: only, States: choices(surveyOrder, states)}
	now := time.Now().Unix()
	for _, e := range page.Entries {
		v.Slices = append(v.Slices, surveyRow(e.Key, e.Value, factsOfSurvey(e.Value), now))
	}
	return v, nil
}

// surveysIn finds the keys of all slices in a state, or of all (""), in an order, and counts
// the states of all.
func (c *counter) surveysIn(state string, by sorting) (keys []string, states map[string]int) {
	now := time.Now().Unix()
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.facts.surveys
	states = map[string]int{}
	for key, is := range all {
		if is.split { // its halves have it
			continue
		}
		so := is.state(now)
		states[so]++
		if state == "" || state == so {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		order := 0
		switch by.column() {
		case "slice":
			order = cmp.Compare(a, b)
		case "authors":
			order = cmp.Compare(all[a].authors, all[b].authors)
		case "passed":
			order = cmp.Compare(all[a].passed, all[b].passed)
		case "events":
			order = cmp.Compare(all[a].yielded, all[b].yielded)
		}
		return cmp.Or(by.compare(order), cmp.Compare(a, b))
	})
	return keys, states
}

func surveyRow(slice string, s contract.Survey, is surveyFacts, now int64) SurveyRow {
	row := SurveyRow{
		Slice: slice, Authors: is.authors, Passed: s.Passed, Behind: is.behind(now), Relays: len(s.Looks), Yielded: is.yielded,
		Bytes: s.Bytes, Why: s.Why,
	}
	for _, look := range s.Looks {
		if look.Whole && look.At > now-int64(provedFor.Seconds()) {
			row.Whole++
		}
	}
	return row
}
