package ingest

import (
	"encoding/hex"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// finding is what one verified event teaches.
type finding struct {
	// list is the author's relay list, of the source via.
	via  string
	list *contract.List
	// over names lists of the author's that are over by this event.
	over *stage.Ending
	// record is the BEP 44 item to be kept alive on the DHT.
	record *contract.Record
	target string
	// keys are DHT keys by the author that they are said to belong to.
	keys map[string]string
	refs []events.NoteMissing
	// named are relays that the event names by the way.
	named []string
	// dag is the root of the Scionic DAG that the event names, or "".
	dag string
}

// decideEvent reads what an event says; its id and signature have been
// verified. An error names the field that makes the event unusable. A list that
// comes with one has taken the place of the author's list before all the same,
// with those of its relays that can be used, if any.
func decideEvent(e *nostr.Event, allowPrivate bool) (finding, error) {
	f := finding{keys: map[string]string{}}
	var err error
	switch e.Kind {
	case nostr.KindDHTList:
		err = f.readDHTList(e, allowPrivate)
	case nostr.KindRelayList:
		err = f.readNIP65(e, allowPrivate)
	case nostr.KindAppData:
		err = f.readAppData(e, allowPrivate)
	case nostr.KindDeletion, nostr.KindVanish:
		f.over = readEnding(e)
	default:
		f.refs = stage.References(e, allowPrivate)
	}
	f.named = stage.Hints(e, allowPrivate)
	f.readDHTKeyTag(e)
	if root := e.Tag("scionic_root").At(1); contract.IsDAGRoot(root) {
		f.dag = root
	}
	return f, err
}

// readDHTList reads kind 11011: content is the hex of the bytes that dht_sig
// signs with dht_pubkey. The plain signed buffer of BEP 44 makes a record; the
// dict form of HORNETS, which no DHT node can verify, makes a list only.
func (f *finding) readDHTList(e *nostr.Event, allowPrivate bool) error {
	key, sig := e.Tag("dht_pubkey").At(1), e.Tag("dht_sig").At(1)
	if !nostr.IsHex(key, 32) {
		return fmt.Errorf("dht_pubkey: want 64 lower-case hex digits, got %d characters", len(key))
	}
	if !nostr.IsHex(sig, 64) {
		return fmt.Errorf("dht_sig: want 128 lower-case hex digits, got %d characters", len(sig))
	}
	payload, err := hex.DecodeString(e.Content)
	if err != nil {
		return fmt.Errorf("content: want the signed buffer in hex: %w", err)
	}
	wrapped := len(payload) > 0 && payload[0] == 'd'
	var item bep44.Item
	if wrapped {
		item, err = bep44.ParseHornetsDict(payload)
	} else {
		item, err = bep44.ParseSignedBuffer(payload)
	}
	if err != nil {
		return fmt.Errorf("content: %w", err)
	}
	_, _ = hex.Decode(item.Key[:], []byte(key)) // checked above
	_, _ = hex.Decode(item.Sig[:], []byte(sig))
	if wrapped {
		err = bep44.VerifyHornetsDict(payload, item.Key, item.Sig)
	} else {
		err = item.Verify()
	}
	if err != nil {
		return fmt.Errorf("dht_sig: %w", err)
	}
	urls, err := bep44.DecodeRelayList(item.Value)
	if err != nil {
		return fmt.Errorf("content: %w", err)
	}
	relays, err := normalizeAll(urls, allowPrivate)
	f.via, f.list = contract.ViaDHT, &contract.List{Version: item.Seq, Key: key, ID: e.ID, At: e.CreatedAt, Write: relays}
	f.keys[e.PubKey] = key
	if err != nil {
		return fmt.Errorf("content: %w", err)
	}
	if !wrapped {
		f.record, f.target = &contract.Record{PubKey: e.PubKey, Event: e.ID}, stage.TargetHex(item)
		stage.SetItem(f.record, item)
	}
	return nil
}

// readNIP65 reads kind 10002.
func (f *finding) readNIP65(e *nostr.Event, allowPrivate bool) (err error) {
	f.via = contract.ViaNIP65
	f.list, err = stage.ReadRelayTags(e, allowPrivate)
	return err
}

// readAppData reads kind 30078 with r tags (relays) and a dht tag (the key
// under which the author publishes them); others of the kind mean other things.
func (f *finding) readAppData(e *nostr.Event, allowPrivate bool) error {
	dht := e.Tag("dht")
	if dht == nil || e.Tag("r") == nil {
		return nil
	}
	if !nostr.IsHex(dht.At(1), 32) {
		return fmt.Errorf("dht: want 64 lower-case hex digits, got %d characters", len(dht.At(1)))
	}
	list, err := stage.ReadRelayTags(e, allowPrivate)
	list.D = e.Tag("d").At(1)
	f.keys[e.PubKey] = dht.At(1)
	f.via, f.list = contract.ViaNIP78, list
	return err
}

// readDHTKeyTag reads the dht_key tag. On a reply it is the DHT key of the
// author replied to, the last p tag (HORNETS); elsewhere the author's own.
func (f *finding) readDHTKeyTag(e *nostr.Event) {
	key := e.Tag("dht_key").At(1)
	if !nostr.IsHex(key, 32) {
		return
	}
	owner := e.PubKey
	if e.Tag("e") != nil {
		if owner = lastTag(e, "p"); !nostr.IsHex(owner, 32) {
			return
		}
	}
	if f.keys[owner] == "" {
		f.keys[owner] = key
	}
}

// normalizeAll returns those of the relays that can be used; an error names one
// that cannot.
func normalizeAll(urls []string, allowPrivate bool) (out []string, bad error) {
	for i, raw := range urls {
		url, err := nostr.NormalizeRelayURL(raw, allowPrivate)
		if err != nil {
			bad = fmt.Errorf("relays[%d]: %w", i, err)
			continue
		}
		out = stage.AppendRelay(out, url)
	}
	return out, bad
}

func lastTag(e *nostr.Event, name string) (value string) {
	for _, t := range e.Tags {
		if t[0] == name {
			value = t.At(1)
		}
	}
	return value
}
