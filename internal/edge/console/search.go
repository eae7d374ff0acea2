package console

import (
	"context"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxQuery bounds what may be searched for, in bytes.
const maxQuery = 1024

// query is what a text may mean; 64 hex digits may mean three things.
type query struct {
	text   string
	pubkey string
	note   *events.NoteMissing
	dhtKey string
	target string
	relay  string // normalised URL
}

// parse reads what was typed. An error says what may be typed.
func parse(text string) (query, error) {
	q := query{text: strings.TrimSpace(text)}
	if len(q.text) > maxQuery {
		return q, &pageError{http.StatusBadRequest, "that is longer than anything that can be found"}
	}
	plain := schnorr.BareCode(q.text)
	lower := strings.ToLower(plain)
	switch {
	case nostr.IsHex(lower, 20):
		q.target = lower
		return q, nil
	case nostr.IsHex(lower, 32):
		q.dhtKey = lower
		q.pubkey, _ = schnorr.ParsePublicKey(lower) // half of all ids are no point of the curve
		q.note = &events.NoteMissing{EventID: lower}
		return q, nil
	case schnorr.CodePrefix(plain) == "npub", schnorr.CodePrefix(plain) == "nprofile":
		pubkey, err := schnorr.ParsePublicKey(plain)
		q.pubkey = pubkey
		return q, badQuery(err)
	case strings.Contains(plain, "://") || strings.Contains(plain, "."):
		if !strings.Contains(plain, "://") {
			plain = "wss://" + plain
		}
		url, err := nostr.NormalizeRelayURL(plain, true)
		q.relay = url
		return q, badQuery(err)
	}
	note, err := schnorr.ParseNote(plain)
	if err != nil {
		return q, &pageError{
			http.StatusBadRequest,
			"want an npub, a public key, DHT key or event id (64 hex digits), a DHT target (40 hex digits), " +
				"a note, nevent or naddr, or the URL of a relay",
		}
	}
	q.note = &note
	return q, nil
}

func badQuery(err error) error {
	if err != nil {
		return &pageError{http.StatusBadRequest, err.Error()}
	}
	return nil
}

// Found is what is known about what was searched for.
type Found struct {
	Query   string       `json:"query"`
	Author  *Author      `json:"author"`
	Records []Record     `json:"records"`
	Relay   *RelayDetail `json:"relay"`
	Note    *Note        `json:"note"`
	// Recent is what happened in the last hour, newest first; Dead are the
	// newest dead letters that are about it.
	Recent      []Outcome    `json:"recent"`
	DeadLetters []DeadLetter `json:"dead_letters"`
}

// Nothing reports whether it is not known at all.
func (f Found) Nothing() bool {
	return f.Author == nil && len(f.Records)+len(f.Recent)+len(f.DeadLetters) == 0 && f.Relay == nil && (f.Note == nil || f.Note.nothing())
}

func (c *Console) search(r *http.Request) (any, error) {
	text := r.URL.Query().Get("q")
	if strings.TrimSpace(text) == "" {
		return Found{}, nil
	}
	q, err := parse(text)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	found := Found{Query: q.text}
	targets := map[string]bool{}
	if q.target != "" {
		targets[q.target] = true
	}
	if q.dhtKey != "" {
		targets[targetOf(q.dhtKey)] = true
	}
	if q.pubkey != "" {
		if found.Author, err = c.author(ctx, q.pubkey); err != nil {
			return nil, err
		}
		if found.Author != nil {
			for target := range found.Author.Is.Records {
				targets[target] = true
			}
		}
	}
	if found.Records, err = c.recordsOf(ctx, targets); err != nil {
		return nil, err
	}
	if found.Author == nil && len(found.Records) > 0 { // who is behind a DHT key or target
		if found.Author, err = c.author(ctx, found.Records[0].PubKey); err != nil {
			return nil, err
		}
	}
	if q.relay != "" {
		if found.Relay, err = c.relay(ctx, q.relay); err != nil {
			return nil, err
		}
	}
	if q.note != nil {
		if found.Note, err = c.note(ctx, *q.note); err != nil {
			return nil, err
		}
	}
	if found.Recent, err = c.recent(ctx, q); err != nil {
		return nil, err
	}
	found.DeadLetters, err = c.deadLettersAbout(ctx, q)
	return found, err
}

// targetOf is where the record of a DHT key lies that has no salt.
func targetOf(dhtKey string) string {
	var key [32]byte
	_, _ = hex.Decode(key[:], []byte(dhtKey)) // 64 hex digits
	target := bep44.Target(key, nil)
	return hex.EncodeToString(target[:])
}

// deadLettersAbout looks among the newest dead letters for those that name it.
func (c *Console) deadLettersAbout(ctx context.Context, q query) ([]DeadLetter, error) {
	list, _, err := newest(ctx, c.js, "", 0, maxDeadLetters)
	if err != nil {
		return nil, err
	}
	var about []DeadLetter
	for _, l := range list {
		if len(about) < maxFacts && q.names(l.Subject+"\n"+l.Body()) {
			about = append(about, l)
		}
	}
	return about, nil
}

const (
	// maxDeadLetters is how many dead letters a search looks at, maxOutcomes how many
	// outcomes.
	maxDeadLetters = 300
	maxOutcomes    = 1000
	// maxFacts bounds each list of what is found.
	maxFacts = 50
)

// names reports whether a text speaks of what was searched for.
func (q query) names(text string) bool {
	for _, word := range []string{q.pubkey, q.dhtKey, q.target, q.relay, q.id()} {
		if word != "" && strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// id is the event id or address that was searched for.
func (q query) id() string {
	if q.note == nil {
		return ""
	}
	if q.note.EventID != "" {
		return q.note.EventID
	}
	return q.note.Address
}
