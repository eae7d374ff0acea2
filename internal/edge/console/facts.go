package console

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Author is what is known of a user.
type Author struct {
	PubKey string          `json:"pubkey"`
	Npub   string          `json:"npub"`
	Is     contract.Author `json:"author"`
	// Relays are where they write, or read, and by which evidence.
	Relays []Evidence `json:"relays"`
	More   bool       `json:"more_relays,omitempty"`
}

// Evidence says by what a link is known: by source, with the version of the
// list that says so.
type Evidence struct {
	PubKey string           `json:"pubkey,omitempty"`
	Npub   string           `json:"npub,omitempty"`
	URL    string           `json:"url"`
	Via    map[string]int64 `json:"via"`
}

// Sources lists the sources, the weightiest first.
func (e Evidence) Sources() []string {
	weight := contract.Sources()
	return slices.SortedFunc(maps.Keys(e.Via), func(a, b string) int { return slices.Index(weight, a) - slices.Index(weight, b) })
}

func (c *Console) author(ctx context.Context, pubkey string) (*Author, error) {
	if !nostr.IsHex(pubkey, 32) {
		return nil, nil //nolint:nilnil // not known is no error
	}
	authors, err := kv.Open[contract.Author](ctx, c.js, contract.BucketAuthors)
	if err != nil {
		return nil, need(err)
	}
	known, err := authors.GetAll(ctx, []string{pubkey})
	if err != nil {
		return nil, err
	}
	is, exists := known[pubkey]
	if !exists {
		return nil, nil //nolint:nilnil // not known is no error
	}
	links, err := kv.Open[contract.Link](ctx, c.js, contract.BucketLinks)
	if err != nil {
		return nil, need(err)
	}
	page, err := links.Page(ctx, contract.LinkKey("*", pubkey), 0, maxFacts)
	if err != nil {
		return nil, err
	}
	a := &Author{PubKey: pubkey, Npub: npub(pubkey), Is: is, More: page.Left > 0}
	for _, e := range page.Entries {
		a.Relays = append(a.Relays, Evidence{URL: e.Value.URL, Via: e.Value.Via})
	}
	return a, nil
}

// recordsOf reads the records of some targets.
func (c *Console) recordsOf(ctx context.Context, targets map[string]bool) ([]Record, error) {
	bucket, err := kv.Open[contract.Record](ctx, c.js, contract.BucketRecords)
	if err != nil {
		return nil, need(err)
	}
	var keys []string
	for _, target := range slices.Sorted(maps.Keys(targets)) {
		if nostr.IsHex(target, 20) {
			keys = append(keys, contract.RecordKey(target))
		}
	}
	known, err := bucket.GetAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	var entries []kv.Entry[contract.Record]
	for _, key := range keys {
		if r, exists := known[key]; exists {
			entries = append(entries, kv.Entry[contract.Record]{Key: key, Value: r})
		}
	}
	return c.recordRows(ctx, entries)
}

// RelayDetail is what is known of a relay, and some of the authors who write there.
type RelayDetail struct {
	Relay

	Authors []Evidence `json:"authors"`
	More    uint64     `json:"more_authors"` // how many more there are
}

func (c *Console) relay(ctx context.Context, url string) (*RelayDetail, error) {
	key := nostr.RelayKey(url)
	relays, err := kv.Open[contract.Relay](ctx, c.js, contract.BucketRelays)
	if err != nil {
		return nil, need(err)
	}
	known, err := relays.GetAll(ctx, []string{key})
	if err != nil {
		return nil, err
	}
	links, err := kv.Open[contract.Link](ctx, c.js, contract.BucketLinks)
	if err != nil {
		return nil, need(err)
	}
	page, err := links.Page(ctx, contract.LinkKey(key, "*"), 0, maxFacts)
	if err != nil {
		return nil, err
	}
	is, exists := known[key]
	if !exists && len(page.Entries) == 0 {
		return nil, nil //nolint:nilnil // not known is no error
	}
	is.URL = url
	rows, err := c.describe(ctx, []kv.Entry[contract.Relay]{{Key: key, Value: is}})
	if err != nil {
		return nil, err
	}
	k := &RelayDetail{Relay: rows[0], More: page.Left}
	for _, e := range page.Entries {
		_, pubkey, _ := strings.Cut(e.Key, ".")
		k.Authors = append(k.Authors, Evidence{PubKey: pubkey, Npub: npub(pubkey), URL: url, Via: e.Value.Via})
	}
	return k, nil
}

// Note is what is known of an event. The events themselves are at the relay.
type Note struct {
	ID      string   `json:"event_id,omitempty"`
	Address string   `json:"address,omitempty"`
	Hints   []string `json:"hints,omitempty"` // relays that the query names
	// Wanted says that it is being looked for, since when.
	Wanted *Wanted        `json:"wanted"`
	Lost   *contract.Lost `json:"lost"` // it was looked for in vain
	// Refused are the relays with which it is not exchanged.
	Refused []Refusal `json:"refused"`
}

// Wanted is a search that waits or goes on.
type Wanted struct {
	Since int64              `json:"since"`
	Is    events.NoteMissing `json:"note"`
}

// Refusal says why an event is not exchanged with a relay.
type Refusal struct {
	URL string `json:"url"`
	contract.Refused
}

func (n *Note) nothing() bool { return n.Wanted == nil && n.Lost == nil && len(n.Refused) == 0 }

func (c *Console) note(ctx context.Context, m events.NoteMissing) (*Note, error) {
	n := &Note{ID: m.EventID, Address: m.Address, Hints: m.Relays}
	stream, err := c.js.Stream(ctx, contract.StreamNote)
	if err != nil {
		return nil, need(err)
	}
	waiting, err := stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(bus.PrefixOf(c.js).Subject(contract.NoteMissingSubject(m.Key()))))
	switch {
	case err == nil:
		is, _ := nostr.Decode[events.NoteMissing](waiting.Data) // what cannot be read still waits
		n.Wanted = &Wanted{waiting.Time.Unix(), is}
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, err
	}
	lost, err := kv.Open[contract.Lost](ctx, c.js, contract.BucketLost)
	if err != nil {
		return nil, need(err)
	}
	vain, err := lost.GetAll(ctx, []string{m.Key()})
	if err != nil {
		return nil, err
	}
	if l, was := vain[m.Key()]; was {
		n.Lost = &l
	}
	if m.EventID != "" {
		n.Refused, err = c.refusals(ctx, m.EventID)
	}
	return n, err
}

func (c *Console) refusals(ctx context.Context, id string) ([]Refusal, error) {
	bucket, err := kv.Open[contract.Refused](ctx, c.js, contract.BucketRefused)
	if err != nil {
		return nil, need(err)
	}
	page, err := bucket.Page(ctx, contract.RefusedKey("*", id), 0, maxFacts)
	if err != nil || len(page.Entries) == 0 {
		return nil, err
	}
	relays, err := kv.Open[contract.Relay](ctx, c.js, contract.BucketRelays)
	if err != nil {
		return nil, need(err)
	}
	keys := make([]string, len(page.Entries))
	for i, e := range page.Entries {
		keys[i], _, _ = strings.Cut(e.Key, ".")
	}
	known, err := relays.GetAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	out := make([]Refusal, len(page.Entries))
	for i, e := range page.Entries {
		out[i] = Refusal{known[keys[i]].URL, e.Value}
	}
	return out, nil
}

// Outcome is something that a stage has done.
type Outcome struct {
	Time    int64  `json:"time"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
}

// recent looks through the newest outcomes for those that are about a query.
func (c *Console) recent(ctx context.Context, q query) ([]Outcome, error) {
	stream, err := c.js.Stream(ctx, contract.StreamOutcome)
	if err != nil {
		return nil, need(err)
	}
	last := stream.CachedInfo().State.LastSeq
	from := uint64(1)
	if last > maxOutcomes {
		from = last - maxOutcomes
	}
	messages, err := batch(ctx, c.js, contract.StreamOutcome, ">", from, maxOutcomes)
	if err != nil {
		return nil, err
	}
	var out []Outcome
	for _, m := range slices.Backward(messages) {
		if len(out) < maxFacts && q.names(string(m.Data)) {
			out = append(out, outcomeOf(m))
		}
	}
	return out, nil
}

func outcomeOf(m *jetstream.RawStreamMsg) Outcome {
	return Outcome{m.Time.Truncate(time.Second).Unix(), m.Subject, tellOutcome(m.Subject, m.Data)}
}
