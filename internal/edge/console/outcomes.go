package console

import (
	"encoding/json"
	"net/http"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// OutcomeRow is an outcome in the list.
type OutcomeRow struct {
	Outcome

	About string `json:"about,omitempty"` // the author, relay or note that it is about, as one can search for it
}

// outcomeOrder are the subjects of the outcomes.
var outcomeOrder = []string{
	events.SubjectNoteFound, events.SubjectNoteLost, events.SubjectSyncFinished, events.SubjectRecordPublished, events.SubjectRecordResolved,
	events.SubjectDAGWanted,
}

type outcomesView struct {
	pager

	Outcomes []OutcomeRow `json:"outcomes"`
	// What is the subject that the list is filtered by, "" for none; Whats are counted over all.
	What  string   `json:"what,omitempty"`
	Whats []Choice `json:"whats"`
}

// outcomes lists what stages have done in the last hour, the newest first.
func (c *Console) outcomes(r *http.Request) (any, error) {
	before, err := position(r)
	if err != nil {
		return nil, err
	}
	what, err := chosen(r, "what", outcomeOrder)
	if err != nil {
		return nil, err
	}
	p, err := c.feed.now(r.Context())
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for subject, n := range p.Outcomes {
		counts[subject] = int(n) //nolint:gosec // a count
	}
	v := outcomesView{Outcomes: []OutcomeRow{}, What: what, Whats: choices(outcomeOrder, counts)}
	subject := what
	if subject == "" {
		subject = ">"
	}
	messages, pages, err := backwards(r.Context(), c.js, contract.StreamOutcome, subject, before, perPage)
	v.pager = pages
	for _, m := range messages {
		v.Outcomes = append(v.Outcomes, OutcomeRow{outcomeOf(m), aboutOf(m.Data)})
	}
	return v, err
}

// aboutOf is what an outcome is about.
func aboutOf(data []byte) string {
	var is struct {
		URL     string `json:"url"`
		EventID string `json:"event_id"`
		Address string `json:"address"`
		PubKey  string `json:"pubkey"`
		DHTKey  string `json:"dht_key"`
	}
	_ = json.Unmarshal(data, &is) // what cannot be read says so itself
	for _, about := range []string{is.URL, is.EventID, is.Address, is.PubKey, is.DHTKey} {
		if about != "" {
			return about
		}
	}
	return ""
}
