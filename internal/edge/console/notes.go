package console

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

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
	sorting

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
	by, err := sortingOf(r, c.base+"/notes", []string{"state"}, []string{"since"})
	if err != nil {
		return nil, err
	}
	p, err := c.feed.now(r.Context())
	if err != nil {
		return nil, err
	}
	v := notesView{sorting: by, State: noteWanted, States: []Choice{
		{noteWanted, int(Overview{Pipeline: p}.Wanted())}, {noteLost, int(p.Buckets[contract.BucketLost])}, //nolint:gosec // counts
	}}
	if state == noteLost {
		return c.lostNotes(r, v, from)
	}
	messages, err := v.read(r.Context(), c.js, contract.StreamNote, contract.NoteMissingSubject("*"), from)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		is, err := nostr.Decode[events.NoteMissing](m.Data)
		if err != nil {
			v.Bad = append(v.Bad, m.Subject+": "+err.Error())
			continue
		}
		v.Notes = append(v.Notes, NoteRow{Note: is.Key(), Since: m.Time.Unix(), By: is.ReferencedBy, Relays: is.Relays})
	}
	return v, nil
}

// read reads a page of messages, those that came longest ago first unless the list is
// sorted the other way.
func (v *notesView) read(ctx context.Context, js jetstream.JetStream, stream, subject string, from uint64) (
	list []*jetstream.RawStreamMsg, err error,
) {
	if v.down() {
		list, v.pager, err = backwards(ctx, js, stream, subject, from, perPage)
		return list, err
	}
	if list, err = batch(ctx, js, stream, subject, from, perPage+1); len(list) > perPage {
		v.Next, v.Left = list[perPage].Sequence, 1
		list = list[:perPage]
	}
	return list, err
}

func (c *Console) lostNotes(r *http.Request, v notesView, from uint64) (any, error) {
	v.State = noteLost
	key := "$KV." + contract.BucketLost + "."
	messages, err := v.read(r.Context(), c.js, "KV_"+contract.BucketLost, key+">", from)
	if err != nil {
		return nil, err
	}
	now := time.Now().Unix()
	for _, m := range messages {
		if kv.Removed(m.Header) {
			continue
		}
		is, err := nostr.Decode[contract.Lost](m.Data)
		if err != nil {
			v.Bad = append(v.Bad, m.Subject+": "+err.Error())
			continue
		}
		is.Believe(now)
		v.Notes = append(v.Notes, NoteRow{
			Note: strings.TrimPrefix(m.Subject, key), Since: is.At, Why: is.Why, Until: is.Until, Relays: is.Relays,
		})
	}
	return v, nil
}
