package console

import (
	"fmt"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// tellOutcome says in a line what an outcome message says.
func tellOutcome(subject string, data []byte) string {
	switch subject {
	case events.SubjectRecordPublished:
		return told(data, func(o events.RecordPublished) string {
			s := fmt.Sprintf("seq %d is held by %d nodes", o.Seq, o.Holders)
			if o.Superseded {
				s += "; the DHT had a newer one, which is kept from now on"
			}
			if o.Equivocal {
				s += "; some nodes hold another value with the same seq"
			}
			return s
		})
	case events.SubjectRecordResolved:
		return told(data, func(o events.RecordResolved) string {
			if !o.Found {
				return "no list found: " + o.Why
			}
			return fmt.Sprintf("list of %d relays found, seq %d", len(o.Relays), o.Seq)
		})
	case events.SubjectSyncFinished:
		return told(data, tellSync)
	case events.SubjectNoteFound:
		return told(data, func(o events.MissingNoteResponse) string { return "found at " + o.RelayURL })
	case events.SubjectNoteLost:
		return told(data, func(o events.MissingNoteResponse) string { return "not found: " + o.Why })
	case events.SubjectDAGWanted:
		return told(data, func(o events.DAGWanted) string { return "names the Scionic DAG " + o.Root })
	}
	return ""
}

// tellSync says what a sync did.
func tellSync(o events.SyncFinished) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{o.Stored, "stored"}, {o.Sent, "sent"}, {o.Refused, "refused"}, {o.Invalid, "invalid"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	s := strings.Join(parts, ", ")
	switch {
	case s == "" && o.OK:
		s = "nothing new"
	case s == "":
		s = "nothing done"
	}
	if o.Why != "" {
		s += "; " + o.Why
	}
	return s
}

func told[T any](data []byte, tell func(T) string) string {
	v, err := nostr.Decode[T](data)
	if err != nil {
		return "cannot be read: " + err.Error()
	}
	return tell(v)
}
