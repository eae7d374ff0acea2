package sim_test

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
	"github.com/relaymesh/relaymesh/pkg/outbox"
)

// badMessage is a message that ingest must refuse, and how its reason begins.
type badMessage struct {
	subject string
	data    []byte
	reason  string
}

// dhtKey is the ed25519 key of a user.
func dhtKey(key *schnorr.SecretKey) ed25519.PrivateKey {
	raw, _ := hex.DecodeString(key.Hex())
	return bep44.KeyFromNostr([32]byte(raw))
}

// kind11011 carries a value that the user signed, whatever it is.
func kind11011(t *testing.T, key *schnorr.SecretKey, seq int64, value []byte, change func(e *nostr.Event)) []byte {
	t.Helper()
	item := bep44.Item{Seq: seq, Value: value}
	sig := ed25519.Sign(dhtKey(key), item.SignedBuffer())
	e := nostr.Event{Kind: 11011, CreatedAt: time.Now().Unix(), Content: hexOf(item.SignedBuffer()), Tags: []nostr.Tag{
		{"dht_pubkey", hexOf(dhtKey(key).Public().(ed25519.PublicKey))}, {"dht_sig", hexOf(sig)},
	}}
	if change != nil {
		change(&e)
	}
	return nostr.Encode(sign(t, key, e))
}

// signedList is a bare relaylist.signed that the user signed, whatever is in it.
func signedList(t *testing.T, key *schnorr.SecretKey, seq int64, urls []string, change func(p *events.RelayListSigned)) []byte {
	t.Helper()
	text, err := json.Marshal(urls)
	if err != nil {
		t.Fatal(err)
	}
	item := bep44.Item{Seq: seq, Value: bep44.EncodeString(text)}
	p := events.RelayListSigned{
		PubKey: key.PublicKey(), Relays: urls, CreatedAt: time.Now().Unix(), Seq: seq, Value: item.Value,
		DHTKey: hexOf(dhtKey(key).Public().(ed25519.PublicKey)),
		DHTSig: hexOf(ed25519.Sign(dhtKey(key), item.SignedBuffer())),
	}
	if p.Signature, err = schnorr.SignRelayList(urls, key); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&p)
	}
	return nostr.Encode(p)
}

// badEvents are the raw events of the "Bad input".
func badEvents(t *testing.T, key *schnorr.SecretKey) (list []badMessage) {
	t.Helper()
	now := time.Now().Unix()
	add := func(reason string, data []byte) {
		list = append(list, badMessage{events.SubjectEventReceived, data, reason})
	}
	// signed signs whatever is wrong with the event.
	signed := func(e nostr.Event) []byte {
		if e.CreatedAt == 0 {
			e.CreatedAt = now
		}
		_ = key.SignEvent(&e) // it signs, then says what is wrong
		return nostr.Encode(e)
	}
	good := note(t, key, "good")
	change := func(f func(e *nostr.Event)) []byte {
		e := good
		f(&e)
		return nostr.Encode(e)
	}
	other := note(t, key, "other")
	add("event: ", []byte("no JSON"))
	add("event: ", []byte(`["EVENT"]`))
	add("id: ", []byte(`{}`))
	add("id: ", []byte(`null`))
	add("id: ", change(func(e *nostr.Event) { e.ID = other.ID }))
	add("id: ", change(func(e *nostr.Event) { e.Content = "changed" }))
	add("id: ", change(func(e *nostr.Event) { e.ID = strings.ToUpper(e.ID) }))
	add("sig: ", change(func(e *nostr.Event) { e.Sig = other.Sig }))
	add("sig: ", change(func(e *nostr.Event) { e.Sig = e.Sig[2:] }))
	add("sig: ", change(func(e *nostr.Event) { e.Sig = strings.Repeat("f", 128) }))
	add("pubkey: ", change(func(e *nostr.Event) { e.PubKey = "" }))
	add("tags[1]: ", signed(nostr.Event{Kind: 1, Tags: []nostr.Tag{{"t", "x"}, {}}}))
	add("kind: ", signed(nostr.Event{Kind: 65536}))
	add("created_at: ", signed(nostr.Event{Kind: 1, CreatedAt: now + 365*24*3600}))
	add("created_at: ", signed(nostr.Event{Kind: 1, CreatedAt: -1}))
	add("event: ", signed(nostr.Event{Kind: 1, Content: strings.Repeat("a", nostr.MaxEventBytes)}))

	urls := make([]nostr.Tag, 500)
	for i := range urls {
		urls[i] = nostr.Tag{"r", relayURL(i)}
	}
	add("tags: ", signed(nostr.Event{Kind: 10002, Tags: urls}))
	for _, url := range badURLs {
		add("tags[0]: ", signed(nostr.Event{Kind: 10002, Tags: []nostr.Tag{{"r", url}}}))
	}
	add("dht: ", signed(nostr.Event{Kind: 30078, Tags: []nostr.Tag{{"d", "x"}, {"r", relayURL(1)}, {"dht", "abc"}}}))

	value := func(s string) []byte { return bep44.EncodeString([]byte(s)) }
	fine := value(`["wss://a.example.com"]`)
	tag := func(i int, v string) func(e *nostr.Event) {
		return func(e *nostr.Event) { e.Tags[i] = nostr.Tag{e.Tags[i][0], v} }
	}
	add("dht_pubkey: ", kind11011(t, key, 1, fine, tag(0, "abcd")))
	add("dht_pubkey: ", kind11011(t, key, 1, fine, func(e *nostr.Event) { e.Tags = e.Tags[1:] }))
	add("dht_sig: ", kind11011(t, key, 1, fine, tag(1, "abcd")))
	add("dht_sig: ", kind11011(t, key, 1, fine, tag(1, strings.Repeat("0", 128))))
	add("content: ", kind11011(t, key, 1, fine, func(e *nostr.Event) { e.Content = "no hex" }))
	add("content: ", kind11011(t, key, 1, value(strings.Repeat("a", bep44.MaxValue)), nil))
	add("content: ", kind11011(t, key, 1, value("no list"), nil))
	add("content: ", kind11011(t, key, -1, fine, nil))
	for _, url := range badURLs {
		if url == "" {
			continue // no list of BEP 44
		}
		text, _ := json.Marshal([]string{url})
		add("content: relays[0]: ", kind11011(t, key, 1, bep44.EncodeString(text), nil))
	}
	return list
}

var badURLs = []string{
	"http://relay.example.com", "javascript:alert(1)", "ws://127.0.0.1:7777", "wss://localhost", "ws://[::1]:80", "ws://2130706433",
	"ws://169.254.169.254/latest/meta-data", "wss://metadata.google.internal", "wss://10.0.0.1", "wss://user:secret@relay.example.com",
	"wss://", "",
}

// badPayloads are bad messages on the other four contract subjects.
func badPayloads(t *testing.T, key *schnorr.SecretKey) (list []badMessage) {
	t.Helper()
	add := func(subject, reason string, data any) {
		raw, ok := data.([]byte)
		if !ok {
			raw = nostr.Encode(data)
		}
		list = append(list, badMessage{subject, raw, reason})
	}
	many := make([]string, 500)
	for i := range many {
		many[i] = relayURL(i)
	}
	one := []string{relayURL(1)}
	pubkey := key.PublicKey()
	for _, subject := range []string{
		events.SubjectAuthorSeen, events.SubjectRelayListSigned, events.SubjectRelayDiscovered, events.SubjectNoteMissing,
	} {
		add(subject, "message ", []byte("no JSON"))
		add(subject, "message ", []byte(`["an array"]`))
		add(subject, "message ", []byte{})
	}

	add(events.SubjectAuthorSeen, "pubkey: ", []byte(`{}`))
	add(events.SubjectAuthorSeen, "pubkey: ", events.AuthorSeen{PubKey: "abc"})
	add(events.SubjectAuthorSeen, "dht_key: ", events.AuthorSeen{PubKey: pubkey, DHTKey: "abc"})
	add(events.SubjectAuthorSeen, "relays: ", events.AuthorSeen{PubKey: pubkey, Relays: many})
	for _, url := range badURLs {
		add(events.SubjectAuthorSeen, "relays[0]: ", events.AuthorSeen{PubKey: pubkey, Relays: []string{url}})
		add(events.SubjectRelayDiscovered, "url: ", events.RelayDiscovered{URL: url})
		add(events.SubjectRelayListSigned, "relays[0]: ", signedListOr(t, key, url))
	}

	add(events.SubjectRelayDiscovered, "url: ", []byte(`{}`))
	add(events.SubjectRelayDiscovered, "authors[1]: ", events.RelayDiscovered{URL: relayURL(1), Authors: []string{pubkey, "abc"}})
	add(events.SubjectRelayDiscovered, "authors: ", events.RelayDiscovered{URL: relayURL(1), Authors: make([]string, 1001)})

	add(events.SubjectNoteMissing, "event_id: ", []byte(`{}`))
	add(events.SubjectNoteMissing, "event_id: ", events.NoteMissing{EventID: "abc"})
	add(events.SubjectNoteMissing, "author_pubkey: ", events.NoteMissing{EventID: pubkey, AuthorPubkey: "abc"})
	add(events.SubjectNoteMissing, "dht_key: ", events.NoteMissing{EventID: pubkey, DHTKey: "abc"})
	add(events.SubjectNoteMissing, "referenced_by: ", events.NoteMissing{EventID: pubkey, ReferencedBy: "abc"})
	add(events.SubjectNoteMissing, "relays: ", events.NoteMissing{EventID: pubkey, Relays: many})
	add(events.SubjectNoteMissing, "address ", events.NoteMissing{Address: "1:" + pubkey + ":"})

	signed := func(reason string, seq int64, urls []string, change func(p *events.RelayListSigned)) {
		add(events.SubjectRelayListSigned, reason, signedList(t, key, seq, urls, change))
	}
	add(events.SubjectRelayListSigned, "pubkey: ", []byte(`{}`))
	signed("pubkey: ", 1, one, func(p *events.RelayListSigned) { p.PubKey = "abc" })
	signed("signature: ", 1, one, func(p *events.RelayListSigned) { p.Signature = "" })
	signed("signature: ", 1, one, func(p *events.RelayListSigned) { p.Signature = "abc" })
	signed("signature: ", 1, one, func(p *events.RelayListSigned) { p.Relays = []string{relayURL(2)} })
	signed("dht_key: ", 1, one, func(p *events.RelayListSigned) { p.DHTKey = "abc" })
	signed("dht_sig: ", 1, one, func(p *events.RelayListSigned) { p.DHTSig = "abc" })
	signed("dht_sig: ", 1, one, func(p *events.RelayListSigned) { p.Seq = 2 })
	signed("salt: ", 1, one, func(p *events.RelayListSigned) { p.Salt = "xy" })
	signed("salt: ", 1, one, func(p *events.RelayListSigned) { p.Salt = strings.Repeat("00", 65) })
	signed("seq: ", -1, one, nil)
	signed("value: ", 1, many, nil)
	signed("value: ", 1, one, func(p *events.RelayListSigned) { p.Value = []byte("no bencoding") })
	signed("relays: ", 1, one, func(p *events.RelayListSigned) {
		p.Relays = []string{relayURL(2)}
		p.Signature, _ = schnorr.SignRelayList(p.Relays, key)
	})
	wrongKind, badSig := note(t, key, "no list"), note(t, key, "no list")
	badSig.Kind = 11011
	badSig.ID = badSig.Hash()
	add(events.SubjectRelayListSigned, "event: ", events.RelayListSigned{Event: &wrongKind})
	add(events.SubjectRelayListSigned, "event: ", events.RelayListSigned{Event: &nostr.Event{ID: "abc"}})
	add(events.SubjectRelayListSigned, "sig: ", events.RelayListSigned{Event: &badSig})
	return list
}

// signedListOr signs a list of one URL; an empty URL makes no list at all, so
// another bad one takes its place.
func signedListOr(t *testing.T, key *schnorr.SecretKey, url string) []byte {
	t.Helper()
	if url == "" {
		url = "ftp://relay.example.com"
	}
	return signedList(t, key, 1, []string{url}, nil)
}

func TestEveryBadInputIsADeadLetterThatNamesTheFieldAndNothingStops(t *testing.T) {
	inWorld(t, func(w *world) {
		mallory := user(w.T, "mallory")
		bad := append(badEvents(w.T, mallory), badPayloads(w.T, mallory)...)
		w.ingest(nil)
		for i, b := range bad {
			w.Publish(b.subject, b.data)
			w.sendEvent(note(w.T, user(w.T, fmt.Sprint("good ", i)), "good"))
		}
		time.Sleep(time.Minute)
		reasons := map[string][]string{}
		for _, l := range w.DeadLetters() {
			key := l.Subject + string(l.Data)
			reasons[key] = append(reasons[key], l.Reason)
			if l.Stage != contract.StageIngest || l.Attempts != 1 {
				w.Errorf("dead letter of stage %s after %d attempts: %s", l.Stage, l.Attempts, l.Reason)
			}
		}
		for i, b := range bad {
			got := reasons[b.subject+string(b.data)]
			if len(got) == 0 || !hasPrefix(got[0], b.reason) {
				w.Errorf("%s %.200s:\ngot reasons %q, want one that begins with %q", b.subject, b.data, got, b.reason)
			}
			get[contract.Author](w, contract.BucketAuthors, user(w.T, fmt.Sprint("good ", i)).PublicKey())
		}
		if n := len(w.DeadLetters()); n != len(bad) {
			w.Errorf("%d dead letters of %d bad messages", n, len(bad))
		}
		if n := w.Stored(contract.StreamIntake); n != 0 {
			w.Errorf("%d messages are left", n)
		}
		// A list that its author signed and that cannot be used ends the one before:
		// that is known, and the key that they named in it, but no relay and no record.
		if len(keys[contract.Author](w, contract.BucketAuthors, mallory.PublicKey())) > 0 {
			a := get[contract.Author](w, contract.BucketAuthors, mallory.PublicKey())
			for via, l := range a.Lists {
				if len(l.Write)+len(l.Read) > 0 {
					w.Errorf("bad messages taught a list by %s: %+v", via, l)
				}
			}
			if a.DHTKey != "" && a.DHTKeyBy != mallory.PublicKey() || len(a.Records) > 0 {
				w.Errorf("bad messages taught an author: %+v", a)
			}
		}
		if n := len(keys[contract.Record](w, contract.BucketRecords, ">")) + len(keys[contract.Link](w, contract.BucketLinks, ">")); n != 0 {
			w.Errorf("bad messages made %d records and links", n)
		}
	})
}

func TestARecordNeverGoesBackAndTheReasonNamesSeq(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		alice := user(w.T, "alice")
		first := list(w.T, alice, 100, relayURL(1))
		w.sendEvent(first.DHT)
		time.Sleep(time.Minute)
		for _, bad := range []struct {
			seq    int64
			url    string
			reason string
		}{{99, relayURL(2), "seq: 99 is lower than 100"}, {100, relayURL(2), "seq: 100 was signed before for another value"}} {
			before := len(w.DeadLetters())
			w.sendEvent(list(w.T, alice, bad.seq, bad.url).DHT)
			w.Publish(events.SubjectRelayListSigned, signedList(w.T, alice, bad.seq, []string{bad.url}, nil))
			time.Sleep(time.Minute)
			letters := w.DeadLetters()[before:]
			if len(letters) != 2 || !hasPrefix(letters[0].Reason, bad.reason) || !hasPrefix(letters[1].Reason, bad.reason) {
				w.Errorf("seq %d: dead letters %+v, want two that begin with %q", bad.seq, letters, bad.reason)
			}
		}
		w.Publish(events.SubjectRelayListSigned, signedList(w.T, alice, 100, []string{relayURL(1)}, nil)) // what is known already
		time.Sleep(time.Minute)
		r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(stage.TargetHex(first.Item)))
		if r.Seq != 100 || string(r.Value) != string(first.Item.Value) || len(w.DeadLetters()) != 4 {
			w.Errorf("kept %+v, %d dead letters", r, len(w.DeadLetters()))
		}
		w.sendEvent(list(w.T, alice, 101, relayURL(2)).DHT)
		time.Sleep(time.Minute)
		if r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(stage.TargetHex(first.Item))); r.Seq != 101 {
			w.Errorf("a higher seq was not taken: %+v", r)
		}
	})
}

// NATS takes no message over 1 MiB, so that an event of several MiB never
// enters: whoever publishes it is told.
func TestAnEventOfSeveralMiBIsRefusedAtThePublisher(t *testing.T) {
	inWorld(t, func(w *world) {
		e := sign(w.T, user(w.T, "alice"), nostr.Event{Kind: 1, Content: strings.Repeat("a", 512<<10)})
		e.Content = strings.Repeat("a", 3<<20)
		_, err := w.JS.Publish(context.Background(), events.SubjectEventReceived, nostr.Encode(e))
		if !errors.Is(err, nats.ErrMaxPayload) {
			w.Errorf("got %v, want %v", err, nats.ErrMaxPayload)
		}
		w.ingest(nil)
		w.sendEvent(note(w.T, user(w.T, "alice"), "small"))
		time.Sleep(time.Minute)
		get[contract.Author](w, contract.BucketAuthors, user(w.T, "alice").PublicKey())
		w.noDeadLetters()
	})
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		with := func(v any) []byte {
			return append([]byte(`{"a_field_of_tomorrow":{"x":[1]},`), nostr.Encode(v)[1:]...)
		}
		alice, bob, carol, dave, erin := user(w.T, "alice"), user(w.T, "bob"), user(w.T, "carol"), user(w.T, "dave"), user(w.T, "erin")
		w.Publish(events.SubjectEventReceived, with(note(w.T, alice, "note")))
		w.Publish(events.SubjectAuthorSeen, with(events.AuthorSeen{PubKey: bob.PublicKey()}))
		w.Publish(events.SubjectRelayListSigned, with(json.RawMessage(signedList(w.T, carol, 1, []string{relayURL(1)}, nil))))
		w.Publish(events.SubjectRelayDiscovered, with(events.RelayDiscovered{URL: relayURL(2), Authors: []string{dave.PublicKey()}}))
		w.Publish(events.SubjectNoteMissing, with(events.NoteMissing{EventID: erin.PublicKey()}))
		time.Sleep(time.Minute)
		w.noDeadLetters()
		authors := keys[contract.Author](w, contract.BucketAuthors, ">")
		for _, key := range []*schnorr.SecretKey{alice, bob, carol} {
			if !slices.Contains(authors, key.PublicKey()) {
				w.Errorf("an author is missing among %v", authors)
			}
		}
		get[contract.Link](w, contract.BucketLinks, contract.LinkKey(nostr.RelayKey(relayURL(2)), dave.PublicKey()))
		if n := w.Stored(contract.StreamNote); n != 1 {
			w.Errorf("%d notes are asked for, want 1", n)
		}
	})
}

// Whoever is woken up must find in KV what woke them.
func TestFactsAreInKVBeforeTheWakeUpIsOut(t *testing.T) {
	inWorld(t, func(w *world) {
		authors := store[contract.Author](w, contract.BucketAuthors)
		records := store[contract.Record](w, contract.BucketRecords)
		links := store[contract.Link](w, contract.BucketLinks)
		var seen tally
		w.watch(func(m *nats.Msg) {
			ctx := context.Background()
			key := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
			var found bool
			switch {
			case hasPrefix(m.Subject, events.SubjectAuthorSeen):
				_, found, _ = authors.Get(ctx, key)
				seen.add("author")
			case hasPrefix(m.Subject, events.SubjectRelayListSigned):
				_, found, _ = records.Get(ctx, contract.RecordKey(key))
				seen.add("record")
			default:
				d, _ := nostr.Decode[events.RelayDiscovered](m.Data)
				_, found, _ = links.Get(ctx, contract.LinkKey(key, d.Authors[0]))
				seen.add("link")
			}
			if !found {
				w.Errorf("%s was published before its fact was written", m.Subject)
			}
		}, contract.AuthorSeenSubject("*"), contract.RelayListSignedSubject("*"), contract.RelayDiscoveredSubject("*"))
		w.ingest(nil)
		for i := range 20 {
			l := list(w.T, user(w.T, fmt.Sprint("user ", i)), 100, relayURL(i), relayURL(i+1))
			w.sendEvent(l.DHT, l.NIP65)
		}
		w.Publish(events.SubjectAuthorSeen, nostr.Encode(events.AuthorSeen{PubKey: user(w.T, "x").PublicKey(), Relays: []string{relayURL(50)}}))
		time.Sleep(time.Minute)
		if seen.count("author") < 21 || seen.count("record") != 20 || seen.count("link") != 81 {
			w.Errorf("wake-ups: %v", seen.n)
		}
	})
}

func TestLinksFollowTheNewestListAndAnOldOneChangesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		alice := user(w.T, "alice")
		want := func(what string, urls ...string) {
			w.Helper()
			time.Sleep(time.Minute)
			if got := w.links(alice.PublicKey()); !slices.Equal(got, urls) {
				w.Errorf("%s: links to %v, want %v", what, got, urls)
			}
		}
		a, b, c, d := "wss://a.example.com", "wss://b.example.com", "wss://c.example.com", "wss://d.example.com"
		w.sendEvent(nip65(w.T, alice, 1000, a, b))
		want("first list", a, b)
		w.sendEvent(nip65(w.T, alice, 2000, b, c))
		want("second list", b, c)

		author := get[contract.Author](w, contract.BucketAuthors, alice.PublicKey())
		wakeUps := w.ever(contract.StreamRelay)
		w.sendEvent(nip65(w.T, alice, 1500, a, d))
		want("an older list published late", b, c)
		if now := get[contract.Author](w, contract.BucketAuthors,
			alice.PublicKey()); now.Lists[contract.ViaNIP65].ID != author.Lists[contract.ViaNIP65].ID {
			w.Errorf("the older list replaced the newer: %+v", now)
		}
		if n := w.ever(contract.StreamRelay); n != wakeUps {
			w.Errorf("an older list woke up the syncworker %d times", n-wakeUps)
		}

		// Another source holds on to a relay that NIP-65 drops.
		w.sendEvent(list(w.T, alice, 100, c, d).DHT)
		want("a list for the DHT", b, c, d)
		w.sendEvent(nip65(w.T, alice, 3000, a))
		want("NIP-65 drops b and c", a, c, d)
		w.sendEvent(list(w.T, alice, 101, a).DHT)
		want("the DHT list drops c and d", a)
		w.sendEvent(list(w.T, alice, 100, c, d).DHT)
		want("an older list for the DHT", a)

		// Of two lists in one second the lower id wins (NIP-01).
		loser, winner, lost, won := nip65(w.T, alice, 4000, b), nip65(w.T, alice, 4000, c), b, c
		if loser.ID < winner.ID {
			loser, winner, lost, won = winner, loser, c, b
		}
		w.sendEvent(loser)
		want("the first of two lists in one second", a, lost)
		w.sendEvent(winner)
		want("the second of two lists in one second", a, won)
		w.sendEvent(loser, winner)
		want("both again", a, won)
		if now := get[contract.Author](w, contract.BucketAuthors, alice.PublicKey()); now.Lists[contract.ViaNIP65].ID != winner.ID {
			w.Errorf("of two lists in one second %s won", now.Lists[contract.ViaNIP65].ID)
		}
	})
}

func TestAuthorsAreLookedUpOncePerWindowAndANewKeyAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		w.dhtworker(nil)
		alice := user(w.T, "alice")
		k1, k2 := strings.Repeat("11", 32), strings.Repeat("22", 32)
		say := func(key string) {
			w.sendEvent(note(w.T, alice, time.Now().String(), nostr.Tag{"dht_key", key}))
		}
		check := func(what string, first, second int) {
			w.Helper()
			time.Sleep(time.Minute)
			if a, b := w.dht.getsOf(k1), w.dht.getsOf(k2); a != first || b != second {
				w.Errorf("%s: looked up %d and %d times, want %d and %d", what, a, b, first, second)
			}
		}
		say(k1)
		check("first note", 1, 0)
		say(k2)
		check("a new key", 1, 1)
		say(k1)
		check("back to the first key", 2, 1)
		for range 10 {
			say(k1)
			time.Sleep(20 * time.Minute)
		}
		check("within the window", 2, 1)
		// A stranger's word does not replace the author's.
		w.sendEvent(note(w.T, user(w.T, "bob"), "reply", nostr.Tag{"e", strings.Repeat("0", 64)}, nostr.Tag{"p", alice.PublicKey()},
			nostr.Tag{"dht_key", k2}))
		check("a stranger's word", 2, 1)
		time.Sleep(resolveEvery)
		say(k1)
		check("the next window", 3, 1)
		w.noDeadLetters()
	})
}

// Whatever brings it, an event has one effect, and rubbish that a stranger
// publishes under its id before takes it from nobody: ingest knows the ids of
// what it has verified.
func TestAnEventThatComesTwiceIsHandledOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		alice := user(w.T, "alice")
		l := list(w.T, alice, 100, relayURL(1))
		source, err := bus.New(natstest.Connect(w.T, w.Server), bus.Options{Stage: "test"})
		if err != nil {
			w.Fatal(err)
		}
		for _, e := range []nostr.Event{l.DHT, l.NIP65} {
			forged := e
			forged.Content = "forged"
			m := nats.NewMsg(events.SubjectEventReceived)
			m.Header.Set(jetstream.MsgIDHeader, e.ID)
			m.Data = nostr.Encode(forged)
			if _, err := w.JS.PublishMsg(w.Context(), m); err != nil {
				w.Fatal(err)
			}
		}
		w.ingest(nil)
		hook := outbox.New(func(ctx context.Context, m outbox.Message) error {
			_, err := w.JS.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
			return err
		}, outbox.Options{})
		for _, e := range []nostr.Event{l.DHT, l.NIP65} {
			received, _ := stage.Received(e) // of a tail, a sync, the fetcher
			if err := source.Publish(context.Background(), received); err != nil {
				w.Fatal(err)
			}
			hook.Put(nostr.Encode(e))
		}
		if lost := hook.Close(w.Context()); lost != 0 {
			w.Errorf("%d events are lost", lost)
		}
		time.Sleep(time.Second)
		if n := w.ever(contract.StreamIntake); n != 6 {
			w.Errorf("the intake took %d messages, want 6", n)
		}
		if a := get[contract.Author](w, contract.BucketAuthors, alice.PublicKey()); len(a.Lists) != 2 {
			w.Errorf("the author's lists are %v", a.Lists)
		}
		// From a producer of its own it comes in again, and has no effect.
		wakeUps := func() [3]int {
			return [3]int{w.ever(contract.StreamAuthor), w.ever(contract.StreamRelayList), w.ever(contract.StreamRelay)}
		}
		before := wakeUps()
		w.sendEvent(l.DHT, l.NIP65, l.DHT)
		time.Sleep(time.Minute)
		if after := wakeUps(); after != before || w.Stored(contract.StreamIntake) != 0 {
			w.Errorf("wake-ups of authors, records and relays %v, before %v", after, before)
		}
		if before[0] > 2 || before[1] != 1 || before[2] != 2 {
			w.Errorf("wake-ups of authors, records and relays %v: want one for each event, and one for the record", before)
		}
		if n := len(w.DeadLetters()); n != 2 {
			w.Errorf("%d dead letters, want the two forged", n)
		}
	})
}

func TestMissingReferencesAreAskedOnceAndSurviveAFailingLocalRelay(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		alice, bob := user(w.T, "alice"), user(w.T, "bob")
		have, lack, quoted := note(w.T, alice, "have"), note(w.T, alice, "lack"), note(w.T, alice, "quoted")
		address := "30023:" + alice.PublicKey() + ":article"
		w.relays.set(home, func(x *remote) { x.events = append(x.events, have) })
		reply := func(text string) nostr.Event {
			return note(
				w.T, bob, text, nostr.Tag{"e", have.ID, "", "root"}, nostr.Tag{"e", lack.ID, relayURL(1), "reply"},
				nostr.Tag{"q", quoted.ID}, nostr.Tag{"a", address}, nostr.Tag{"p", alice.PublicKey()},
			)
		}
		w.relays.set(home, func(x *remote) { x.down = true })
		w.sendEvent(reply("while the local relay is down"))
		time.Sleep(2 * time.Hour)
		if n := w.Stored(contract.StreamNote); n != 0 {
			w.Errorf("%d notes are said to be missing, and nobody was asked", n)
		}
		w.noDeadLetters()
		w.relays.set(home, func(x *remote) { x.down = false })
		time.Sleep(time.Hour + 15*time.Minute) // waits grow up to an hour
		missing := natstest.Messages[events.NoteMissing](w.World, contract.StreamNote, "")
		var got []string
		for _, m := range missing {
			got = append(got, m.EventID+m.Address)
			if m.EventID != quoted.ID && m.AuthorPubkey != alice.PublicKey() {
				w.Errorf("author of %s: %q", m.EventID+m.Address, m.AuthorPubkey)
			}
			if m.EventID == lack.ID && !slices.Equal(m.Relays, []string{relayURL(1)}) {
				w.Errorf("hints: %v", m.Relays)
			}
		}
		slices.Sort(got)
		want := []string{lack.ID, quoted.ID, address}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			w.Errorf("missing %v, want %v", got, want)
		}
		for i := range 5 {
			w.sendEvent(reply(fmt.Sprint("another ", i)))
			time.Sleep(time.Hour)
		}
		if n := w.ever(contract.StreamNote); n != 3 {
			w.Errorf("asked for %d notes, want 3 while they are outstanding", n)
		}
		w.noDeadLetters()
	})
}

func TestOnlyADirectorySaysOfItselfHowARelayWasFound(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		for i, via := range []string{contract.ViaDirectory, contract.ViaDHT, contract.ViaManual, ""} {
			w.Publish(events.SubjectRelayDiscovered, nostr.Encode(events.RelayDiscovered{URL: relayURL(i), Via: via}))
		}
		time.Sleep(time.Minute)
		found := map[string]string{}
		for _, d := range natstest.Messages[events.RelayDiscovered](w.World, contract.StreamRelay, "") {
			found[d.URL] = d.Via
		}
		for i, want := range []string{contract.ViaDirectory, contract.ViaHint, contract.ViaHint, contract.ViaHint} {
			if got := found[relayURL(i)]; got != want {
				w.Errorf("relay %d is found via %q, want %q", i, got, want)
			}
		}
	})
}
