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

type surveysView struct {
	pager

	Slices []SurveyRow `json:"slices"`
}

func (c *Console) surveys(r *http.Request) (any, error) {
	from, err := position(r)
	if err != nil {
		return nil, err
	}
	bucket, err := kv.Open[contract.Survey](r.Context(), c.js, contract.BucketSurveys)
	if err != nil {
		return nil, need(err)
	}
	page, err := bucket.Page(r.Context(), "*", from, perPage)
	if err != nil {
		return nil, err
	}
	v := surveysView{pager: pagerOf(page)}
	now := time.Now().Unix()
	for _, e := range page.Entries {
		if is := factsOfSurvey(e.Value); !is.split {
			v.Slices = append(v.Slices, surveyRow(e.Key, e.Value, is, now))
		}
	}
	slices.SortFunc(v.Slices, func(a, b SurveyRow) int { return cmp.Compare(a.Slice, b.Slice) })
	return v, nil
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
