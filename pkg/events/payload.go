package events

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// AuthorSeen says that an author matters to the relay: look up where they
// write. DHTKey is the 32-byte ed25519 key of their BEP 44 record in hex;
// Relays are hints.
type AuthorSeen struct {
	PubKey string   `json:"pubkey"`
	DHTKey string   `json:"dht_key,omitempty"`
	Relays []string `json:"relays,omitempty"`
	Event  string   `json:"event,omitempty"` // id of the event that showed the author
}

// RelayListSigned says that a user signed a relay list for the DHT. On the
// public subject either Event (the Nostr event that carries the list, kind
// 11011) or Signature (BIP-340 by PubKey over SHA-256 of the JSON array of
// relays) must prove that the list is the author's; only Event also binds
// DHTKey to PubKey.
//
// The BEP 44 item is DHTKey (32 bytes hex), Salt (hex, may be empty), Seq,
// Value (the bencoded bytes, base64 in JSON) and DHTSig (64 bytes hex).
type RelayListSigned struct {
	PubKey    string       `json:"pubkey"`
	Relays    []string     `json:"relays"`
	CreatedAt int64        `json:"created_at"`
	Signature string       `json:"signature,omitempty"`
	DHTKey    string       `json:"dht_key"`
	Salt      string       `json:"salt,omitempty"`
	Seq       int64        `json:"seq"`
	Value     []byte       `json:"value"`
	DHTSig    string       `json:"dht_sig"`
	Event     *nostr.Event `json:"event,omitempty"`
}

// RelayDiscovered says that authors write to a relay. Via is the evidence:
// "directory" for a public list of relays; all else counts as "hint" when it
// comes on the public subject.
type RelayDiscovered struct {
	URL     string   `json:"url"`
	Authors []string `json:"authors,omitempty"`
	Via     string   `json:"via"`
	Cause   string   `json:"cause,omitempty"` // what made it known; makes two wake-ups differ
}

// NoteMissing says that the local relay lacks a note that something refers to:
// EventID, or for an addressable reference (NIP-01 "a" tag) Address, which is
// kind:pubkey:d. AuthorPubkey and DHTKey are the HORNETS MissingNoteRequest
// fields; Relays are hints.
type NoteMissing struct {
	EventID      string   `json:"event_id,omitempty"`
	Address      string   `json:"address,omitempty"`
	AuthorPubkey string   `json:"author_pubkey,omitempty"`
	DHTKey       string   `json:"dht_key,omitempty"`
	Relays       []string `json:"relays,omitempty"`
	ReferencedBy string   `json:"referenced_by,omitempty"`
}

// Key is the last token of the note.missing subject: the event id, or 64 hex
// digits of the SHA-256 of the address.
func (n NoteMissing) Key() string {
	if n.EventID != "" {
		return n.EventID
	}
	sum := sha256.Sum256([]byte(n.Address))
	return hex.EncodeToString(sum[:])
}

// Validate returns the payload with its relay hints normalised and those left
// out that cannot be dialled. An error names the field at fault.
func (n NoteMissing) Validate(allowPrivate bool) (NoteMissing, error) {
	switch {
	case n.EventID == "" && n.Address == "":
		return n, errors.New("event_id: missing, and there is no address either")
	case n.EventID != "" && !nostr.IsHex(n.EventID, 32):
		return n, errors.New("event_id: want 64 lower-case hex digits")
	case n.AuthorPubkey != "" && !nostr.IsHex(n.AuthorPubkey, 32):
		return n, errors.New("author_pubkey: want 64 lower-case hex digits, or none")
	case n.DHTKey != "" && !nostr.IsHex(n.DHTKey, 32):
		return n, errors.New("dht_key: want 64 lower-case hex digits, or none")
	case n.ReferencedBy != "" && !nostr.IsHex(n.ReferencedBy, 32):
		return n, errors.New("referenced_by: want 64 lower-case hex digits, or none")
	case len(n.Relays) > nostr.MaxListRelays:
		return n, fmt.Errorf("relays: %d, at most %d are accepted", len(n.Relays), nostr.MaxListRelays)
	}
	if n.EventID == "" {
		if len(n.Address) > nostr.MaxAddressBytes {
			return n, fmt.Errorf("address: %d bytes, at most %d are accepted", len(n.Address), nostr.MaxAddressBytes)
		}
		a, err := nostr.ParseAddress(n.Address)
		if err != nil {
			return n, err
		}
		n.Address, n.AuthorPubkey = a.String(), a.PubKey // spelled one way, as it is the key
	}
	var hints []string
	for _, raw := range n.Relays {
		if url, err := nostr.NormalizeRelayURL(raw, allowPrivate); err == nil {
			hints = append(hints, url)
		}
	}
	n.Relays = hints
	return n, nil
}

// Filter asks a relay for the note.
func (n NoteMissing) Filter() nostr.Filter {
	if n.EventID != "" {
		return nostr.Filter{IDs: []string{n.EventID}}
	}
	a, _ := nostr.ParseAddress(n.Address)
	return a.Filter()
}

// MissingNoteRequest is what a client asks the fetch service; the same fields
// as [NoteMissing]. The reply comes within TimeoutMS milliseconds (default
// 3000, at most 30000). Thread asks for what the note refers to, too: its
// ancestors up to the root and what they quote.
type MissingNoteRequest struct {
	NoteMissing
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
	Thread    bool  `json:"thread,omitempty"`
}

// MissingNoteResponse is the fetch service's answer and the payload of
// note.found and note.lost; Event, Found, RelayURL and Timestamp are the
// HORNETS MissingNoteResponse. Why says what was tried when Found is false.
// Thread, if it was asked for, has one answer for each event that the note
// refers to, directly or not, nearest first; an event that is found and too
// large to be carried is left out.
type MissingNoteResponse struct {
	Event     *nostr.Event `json:"event"`
	Found     bool         `json:"found"`
	RelayURL  string       `json:"relay_url"`
	Timestamp int64        `json:"timestamp"`
	EventID   string       `json:"event_id,omitempty"`
	Address   string       `json:"address,omitempty"`
	Why       string       `json:"why,omitempty"`

	Thread []MissingNoteResponse `json:"thread,omitempty"`
}

// ResolveRequest asks for the relay list of an author (PubKey), which is that of
// the DHT key that they named themselves, or of a DHT key (DHTKey, which wins).
type ResolveRequest struct {
	PubKey    string `json:"pubkey,omitempty"`
	DHTKey    string `json:"dht_key,omitempty"`
	TimeoutMS int64  `json:"timeout_ms,omitempty"`
	// Except is an address of which the look-up is to be none: a worker that DHT
	// nodes see there answers at once, with From only.
	Except string `json:"except,omitempty"`
}

// ResolveResponse is a relay list as read from the DHT, or with Event from a list
// index. It is the author's if PubKey says so.
type ResolveResponse struct {
	PubKey  string   `json:"pubkey,omitempty"`
	Relays  []string `json:"relays"`
	DHTKey  string   `json:"dht_key,omitempty"`
	Target  string   `json:"target,omitempty"`
	Seq     int64    `json:"seq"`
	Value   []byte   `json:"value,omitempty"`
	DHTSig  string   `json:"dht_sig,omitempty"`
	Holders int      `json:"holders"`
	Found   bool     `json:"found"`
	Why     string   `json:"why,omitempty"`
	// Event is the author's kind 10002 that the list is of, if list indexes gave it; they are in Indexes.
	Event   *nostr.Event `json:"event,omitempty"`
	Indexes []string     `json:"indexes,omitempty"` // that were asked
	// Seen are relays that have delivered events of the author lately, though no list
	// of theirs names them: seen, not said.
	Seen []string `json:"seen,omitempty"`
	// From is the address under which DHT nodes see who looked it up, if they say.
	From string `json:"from,omitempty"`
}

// RecordPublished tells how a record stands on the DHT after a put or refresh.
type RecordPublished struct {
	PubKey     string `json:"pubkey"`
	DHTKey     string `json:"dht_key"`
	Target     string `json:"target"`
	Seq        int64  `json:"seq"`
	Holders    int    `json:"holders"` // nodes that gave the record back
	Refresh    bool   `json:"refresh,omitempty"`
	Superseded bool   `json:"superseded,omitempty"` // the network held a higher seq, now ours
	// Equivocal says that some nodes hold another value that the owner signed
	// with the same seq. It stays there until they sign with a higher one.
	Equivocal bool `json:"equivocal,omitempty"`
	// From is the address of another dhtworker that looked the record up, too; ""
	// if none did: nodes may answer who put it and nobody else. If most do not give
	// it to that one, Holders counts those that do.
	From string `json:"from,omitempty"`
	// Warning says what speaks against the holders.
	Warning string `json:"warning,omitempty"`
}

// RecordResolved tells what a look-up of an author's list found.
type RecordResolved struct {
	PubKey string   `json:"pubkey"`
	DHTKey string   `json:"dht_key,omitempty"`
	Seq    int64    `json:"seq"`
	Relays []string `json:"relays,omitempty"`
	Found  bool     `json:"found"`
	Why    string   `json:"why,omitempty"`
}

// SyncFinished tells what one sync with one relay did.
type SyncFinished struct {
	URL      string `json:"url"`
	OK       bool   `json:"ok"`
	Authors  int    `json:"authors"`
	Missing  int    `json:"missing"`        // ids that the local relay lacked
	Stored   int    `json:"stored"`         // written and confirmed by OK
	Sent     int    `json:"sent,omitempty"` // written to the remote, likewise
	Refused  int    `json:"refused"`        // refused by the local relay
	Invalid  int    `json:"invalid"`        // promised by the remote, not delivered or not valid
	Messages int    `json:"messages"`       // negentropy messages, both ways
	Millis   int64  `json:"ms"`
	Why      string `json:"why,omitempty"`
}

// DAGWanted says that an event names a Scionic DAG (tag scionic_root), by which
// HORNETS relays keep files: Root is its CID, in base32 (bafirei...). The author's relays may have
// it.
type DAGWanted struct {
	Root   string `json:"root"`
	PubKey string `json:"pubkey"`
	Event  string `json:"event"`
}
