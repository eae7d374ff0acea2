package console

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// How list indexes stand, in the words of those who ask them, best first.
const (
	standingProven   = "proven"   // what it delivered was the newest, or nearly always
	standingNewcomer = "newcomer" // it has shown that it is one
	standingNamed    = "named"    // others name it, and it has not been reached yet
	standingSilent   = "silent"   // it does not answer
	standingLied     = "lied"     // it sent what is forged, or was not asked for
)

var standingOrder = []string{standingProven, standingNewcomer, standingNamed, standingSilent, standingLied}

// indexes are the list indexes that are known: of several processes those of the one that
// knows most.
func (p *Pipeline) indexes() (known contract.Indexes) {
	most := 0
	for _, w := range p.Workers {
		if w.Indexes == nil {
			continue
		}
		n := 0
		for _, count := range w.Indexes.Standings {
			n += count
		}
		if n > most {
			known, most = *w.Indexes, n
		}
	}
	return known
}

type indexesView struct {
	sorting

	Indexes []contract.KnownIndex `json:"indexes"`
	// More is how many are known and not listed: those that stand worst.
	More int `json:"more"`
	// Standing is what the list is filtered by, "" for nothing; Standings are counted over all.
	Standing  string   `json:"standing,omitempty"`
	Standings []Choice `json:"standings"`
}

func (c *Console) indexes(r *http.Request) (any, error) {
	only, err := chosen(r, "standing", standingOrder)
	if err != nil {
		return nil, err
	}
	by, err := sortingOf(r, c.base+"/indexes", []string{"standing"}, []string{"url", "delivered", "missed", "verified"})
	if err != nil {
		return nil, err
	}
	p, err := c.feed.now(r.Context())
	if err != nil {
		return nil, err
	}
	known := p.indexes()
	v := indexesView{sorting: by, Indexes: []contract.KnownIndex{}, Standing: only, Standings: choices(standingOrder, known.Standings)}
	for _, count := range known.Standings {
		v.More += count
	}
	v.More -= len(known.Best)
	for _, k := range known.Best {
		if only == "" || k.Standing == only {
			v.Indexes = append(v.Indexes, k)
		}
	}
	slices.SortStableFunc(v.Indexes, func(a, b contract.KnownIndex) int {
		switch by.column() {
		case "url":
			return by.compare(cmp.Compare(a.URL, b.URL))
		case "delivered":
			return by.compare(cmp.Compare(a.Delivered, b.Delivered))
		case "missed":
			return by.compare(cmp.Compare(a.Missed, b.Missed))
		case "verified":
			return by.compare(cmp.Compare(a.Verified, b.Verified))
		}
		return 0 // best first
	})
	return v, nil
}
