package console

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// nodeInfo is the size of one node in [contract.Record.Nodes], in bytes.
const nodeInfo = 26

// Record is what is known of a DHT record.
type Record struct {
	Target  string `json:"target"`
	PubKey  string `json:"pubkey"`
	Npub    string `json:"npub,omitempty"`
	DHTKey  string `json:"dht_key"`
	Salt    string `json:"salt,omitempty"`
	Seq     int64  `json:"seq"`
	Holders int    `json:"holders"` // nodes that held it when last asked
	Nodes   int    `json:"nodes"`   // nodes that were asked
	// Verified is when it was last read back, Next when it is refreshed again.
	Verified int64  `json:"verified_at,omitempty"`
	Next     int64  `json:"next"`
	Failures int    `json:"failures,omitempty"` // passes in a row that found too few holders
	Event    string `json:"event,omitempty"`
	// Superseded says that it came from the DHT and not from an event.
	Superseded bool   `json:"superseded,omitempty"`
	State      string `json:"state"`
}

// State of a record.
const (
	recordLost    = "lost"    // of the nodes that were asked none held it
	recordOverdue = "overdue" // it was not refreshed in time, nodes may have forgotten it
	recordWaiting = "waiting" // never read back yet
	recordThin    = "thin"    // too few nodes hold it
	recordKept    = "kept"
)

var recordOrder = []string{recordLost, recordOverdue, recordThin, recordWaiting, recordKept}

type recordsView struct {
	pager
	sorting

	Records []Record `json:"records"`
	Slice   string   `json:"slice,omitempty"`
	// State is what the list is filtered by, "" for nothing; States are counted
	// over all records.
	State  string   `json:"state,omitempty"`
	States []Choice `json:"states"`
}

// Sorts are the orders of the list; the columns of its table are those of other pages, too.
func (v recordsView) Sorts() []Head {
	return []Head{v.Head("holders", "nodes that hold it"), v.Head("due", "next refresh")}
}

func (c *Console) records(r *http.Request) (any, error) {
	from, err := position(r)
	if err != nil {
		return nil, err
	}
	slice := strings.ToLower(strings.TrimSpace(r.URL.Query().Get("slice")))
	pattern := ">"
	if slice != "" {
		if !nostr.IsHex(slice, 1) {
			return nil, &pageError{http.StatusBadRequest, "slice: want two hex digits, the first byte of the targets"}
		}
		pattern = slice + ".*"
	}
	bucket, err := kv.Open[contract.Record](r.Context(), c.js, contract.BucketRecords)
	if err != nil {
		return nil, need(err)
	}
	only, err := chosen(r, "state", recordOrder)
	if err != nil {
		return nil, err
	}
	by, err := sortingOf(r, c.base+"/records", []string{"state", "slice"}, recordColumns)
	if err != nil {
		return nil, err
	}
	var page kv.Page[contract.Record]
	if only == "" && by.Sort == "" {
		page, err = bucket.Page(r.Context(), pattern, from, perPage)
	} else {
		page, err = pageOf(r.Context(), bucket, c.counter.recordsIn(only, slice, by), from)
	}
	if err != nil {
		return nil, err
	}
	rows, err := c.recordRows(r.Context(), page.Entries)
	return recordsView{pagerOf(page), by, rows, slice, only, choices(recordOrder, c.counter.summary().Records)}, err
}

// recordRows tells of records, and of each the next cron time of its slice that is
// not before the record is due.
func (c *Console) recordRows(ctx context.Context, entries []kv.Entry[contract.Record]) ([]Record, error) {
	var due []string
	seen := map[string]bool{}
	for _, e := range entries {
		if subject := dueSubject(e.Key); !seen[subject] {
			seen[subject] = true
			due = append(due, subject)
		}
	}
	next, err := cronSpecs(ctx, c.js, contract.StreamRecordDue, due)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	rows := make([]Record, len(entries))
	for i, e := range entries {
		rows[i] = recordRow(e)
		if t, scheduled := next[dueSubject(e.Key)]; scheduled {
			rows[i].Next = t.after(later(now, rows[i].Next))
		}
	}
	return rows, nil
}

// dueSubject is that of a record key's slice.
func dueSubject(key string) string {
	slice, _, _ := strings.Cut(key, ".")
	return contract.RecordDueSubject(slice)
}

func recordRow(e kv.Entry[contract.Record]) Record {
	v := e.Value
	_, target, _ := strings.Cut(e.Key, ".")
	r := Record{
		Target: target, PubKey: v.PubKey, Npub: npub(v.PubKey), DHTKey: v.DHTKey, Salt: v.Salt, Seq: v.Seq, Holders: v.Held,
		Nodes:    len(v.Nodes) / nodeInfo,
		Verified: v.VerifiedAt, Next: v.NextDue, Failures: v.Failures, Event: v.Event, Superseded: v.Superseded,
	}
	r.State = factsOfRecord(v).state(time.Now().Unix())
	return r
}

// npub writes a public key as people know it; "" if it is none.
func npub(pubkey string) string {
	s, err := schnorr.EncodeNpub(pubkey)
	if err != nil {
		return ""
	}
	return s
}
