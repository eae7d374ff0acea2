package console

import (
	"net/http"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// States of a missing note.
const (
	noteWanted = "wanted" // it is being looked for, or waits for it
	noteLost   = "lost"   // it was looked for in vain, lately
)

// NoteRow is a missing note in the list.
type NoteRow struct {
	Note  string `json:"note"`  // event id or address
	Since int64  `json:"since"` // when it was first wanted, or last looked for
	// Why says in what its search failed, Until when it is looked for again if it is asked for.
	Why    string   `json:"why,omitempty"`
	Until  int64    `json:"until,omitempty"`
	By     string   `json:"referenced_by,omitempty"` // the event that names it
	Relays []string `json:"relays,omitempty"`        // that are said to have it, or were asked
}

type notesView struct {
	pager

	State  string    `json:"state"`
	States []Choice  `json:"states"`
	Notes  []NoteRow `json:"notes"`
}

func (c *Console) notes(r *http.Request) (any, error) {
	from, err := position(r)
	if err != nil {
		return nil, err
	}
	state, err := chosen(r, "state", []string{noteWanted, noteLost})
	if err != nil {
		return nil, err
	}
	p, err := c.feed.now(r.Context())
	if err != nil {
		return nil, err
	}
	v := notesView{State: noteWanted, States: []Choice{
		{noteWanted, int(Overview{Pipeline: p}.Wanted())}, {noteLost, int(p.Buckets[contract.BucketLost])}, //nolint:gosec // counts
	}}
	if state == noteLost {
		return c.lostNotes(r, v, from)
	}
	messages, err := batch(r.Context(), c.js, contract.StreamNote, contract.NoteMissingSubject("*"), max(1, from), perPage+1)
	if err != nil {
		return nil, err
	}
	for i, m := range messages {
		if i == perPage {
			v.Next, v.Left = m.Sequence, 1
			break
		}
		is, err := nostr.Decode[events.NoteMissing](m.Data)
		if err != nil {
			v.Bad = append(v.Bad, m.Subject+": "+err.Error())
			continue
		}
		v.Notes = append(v.Notes, NoteRow{Note: is.Key(), Since: m.Time.Unix(), By: is.ReferencedBy, Relays: is.Relays})
	}
	return v, nil
}

func (c *Console) lostNotes(r *http.Request, v notesView, from uint64) (any, error) {
	v.State = noteLost
	bucket, err := kv.Open[contract.Lost](r.Context(), c.js, contract.BucketLost)
	if err != nil {
		return nil, need(err)
	}
	page, err := bucket.Page(r.Context(), ">", from, perPage)
	if err != nil {
		return nil, err
	}
	v.pager = pagerOf(page)
	for _, e := range page.Entries {
		v.Notes = append(v.Notes, NoteRow{Note: e.Key, Since: e.Value.At, Why: e.Value.Why, Until: e.Value.Until, Relays: e.Value.Relays})
	}
	return v, nil
}
