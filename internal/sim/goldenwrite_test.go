package sim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// make golden sets RELAYMESH_GOLDEN to the version to come.
func TestWriteGolden(t *testing.T) {
	version := os.Getenv("RELAYMESH_GOLDEN")
	if version == "" {
		t.Skip("writes the golden files: make golden does")
	}
	if slices.Contains(released(t), version) {
		t.Fatalf("%s is released: what it has left behind cannot change any more", version)
	}
	inWorld(t, func(w *world) {
		w.maxLive = 10
		outside := w.live()
		w.dump(filepath.Join(goldenDir, version), outside)
	})
}

// refuseGolden is the policy of the local relay in the golden world.
func refuseGolden(e nostr.Event) string {
	if strings.HasPrefix(e.Content, "refused") {
		return "blocked: not here"
	}
	return ""
}

// live lets the pipeline work for some hours, stops it in the middle of its
// work, and returns what is around it then.
func (w *world) live() goldenWorld {
	w.Helper()
	t := w.T
	alice, bob, carol, dave, erin := user(t, "alice"), user(t, "bob"), user(t, "carol"), user(t, "dave"), user(t, "erin")
	one, two, dead := relayURL(1), relayURL(2), relayURL(3)
	w.relays.set(dead, func(x *remote) { x.down = true })
	w.relays.set(home, func(x *remote) { x.refuse = refuseGolden })
	write := func(url string, list ...nostr.Event) {
		w.relays.set(url, func(x *remote) { x.events = append(x.events, list...) })
	}
	refer := func(content string, to nostr.Event, hint string) nostr.Event {
		return note(t, alice, content, nostr.Tag{"e", to.ID, hint})
	}
	var outside goldenWorld
	atHome := func(list ...nostr.Event) {
		for _, e := range list {
			outside.AtHome = append(outside.AtHome, e.ID)
		}
	}

	// Some hours of everyday life.
	w.schedule()
	workers := []*worker{w.ingest(nil), w.dhtworker(nil), w.syncworker(nil), w.fetcher(nil)}
	parent, refused := note(t, bob, "parent"), note(t, alice, "refused here")
	reply := refer("reply", parent, two)
	protected := note(t, alice, "protected", nostr.Tag{"-"})
	write(one, reply, refused, protected)
	write(two, parent)
	atHome(reply, parent)
	outside.Refused = append(outside.Refused, refused.ID, protected.ID)
	w.sendEvent(nip65(t, alice, time.Now().Unix(), one), nip65(t, bob, time.Now().Unix(), dead), reply)
	w.sendEvent(refer("refers to what nobody has", nostr.Event{ID: strings.Repeat("0", 64)}, two))
	w.sendEvent(note(t, alice, "names a DAG", nostr.Tag{"scionic_root", dagRoot}))
	w.Publish(events.SubjectRelayListSigned, signedList(t, alice, 1, []string{one, two}, nil))
	newer := list(t, carol, 5, two)
	w.dht.set(func(n *network) {
		target := stage.TargetHex(newer.Item)
		n.items[target], n.copies[target] = newer.Item, &[16]time.Time{}
	})
	w.Publish(events.SubjectRelayListSigned, signedList(t, carol, 1, []string{one}, nil))
	bad := note(t, bob, "bad")
	bad.Sig = reply.Sig
	w.sendEvent(bad)
	worse := note(t, bob, "worse")
	worse.Sig = reply.Sig
	w.sendEvent(worse)
	time.Sleep(2 * time.Hour)
	for _, x := range workers {
		x.end(t)
	}

	// Nobody, while schedules go on.
	time.Sleep(30 * time.Minute)

	// A fetcher alone, and no local relay: its work waits for that.
	w.relays.set(home, func(x *remote) { x.down = true })
	later := note(t, bob, "later")
	write(two, later)
	atHome(later)
	fourth := w.fetcher(nil)
	w.missing(events.NoteMissing{EventID: later.ID, Relays: []string{two}})
	time.Sleep(10 * time.Minute)
	for _, waits := range []bool{false, true} { // until the retry has just been put off again
		for (len(w.schedules(contract.StreamRetry)) > 0) != waits {
			time.Sleep(time.Second)
		}
	}
	fourth.end(t)
	w.relays.set(home, func(x *remote) { x.down = false })

	// Ingest alone: its work waits for the others.
	first := w.ingest(nil)
	wanted := note(t, bob, "wanted")
	write(two, wanted)
	daves := note(t, dave, "by dave")
	write(one, daves)
	atHome(wanted, daves)
	w.sendEvent(nip65(t, dave, time.Now().Unix(), one), refer("refers to what is wanted", wanted, two))
	w.Publish(events.SubjectRelayListSigned, signedList(t, dave, 1, []string{one}, nil))
	w.Publish(events.SubjectAuthorSeen, nostr.Encode(events.AuthorSeen{PubKey: carol.PublicKey(), DHTKey: hexOf(newer.Item.Key[:])}))
	time.Sleep(time.Minute)
	first.end(t)

	// Nobody: even ingest's work waits.
	erins, asked := note(t, erin, "by erin"), note(t, erin, "asked for")
	write(two, erins, asked)
	atHome(erins, asked)
	w.sendEvent(nip65(t, erin, time.Now().Unix(), two))
	w.Publish(events.SubjectRelayListSigned, signedList(t, erin, 1, []string{two}, nil))
	w.Publish(events.SubjectAuthorSeen, nostr.Encode(events.AuthorSeen{PubKey: erin.PublicKey(), Relays: []string{two}}))
	w.Publish(events.SubjectRelayDiscovered,
		nostr.Encode(events.RelayDiscovered{URL: two, Authors: []string{erin.PublicKey()}, Via: contract.ViaManual}))
	w.Publish(events.SubjectNoteMissing, nostr.Encode(events.NoteMissing{EventID: asked.ID, Relays: []string{two}}))
	outside.DeadLetters = w.Stored(contract.StreamDLQ)
	w.retryOne()
	w.rarities(two)

	for _, key := range keys[contract.Record](w, contract.BucketRecords, ">") {
		outside.Records = append(outside.Records, key[strings.IndexByte(key, '.')+1:])
	}
	for _, l := range []string{"dave", "erin"} {
		outside.Records = append(outside.Records, stage.TargetHex(list(t, user(t, l), 1, one).Item))
	}
	slices.Sort(outside.Records)
	outside.Records = slices.Compact(outside.Records)
	outside.Written = time.Now().Unix()
	outside.Relays = map[string][]nostr.Event{}
	for _, url := range []string{home, one, two} {
		outside.Relays[url] = w.relays.seen(url).events
	}
	return outside
}

// rarities stores what this world does not come to, and what is told anew: what
// was told is an hour old.
func (w *world) rarities(url string) {
	w.Helper()
	now := time.Now().Unix()
	frank := user(w.T, "frank")
	pubkey, key := frank.PublicKey(), dhtKey(frank)
	item := bep44.Item{Salt: []byte("salt"), Seq: 7, Value: bep44.EncodeString([]byte("[]"))}
	if err := item.Sign(key); err != nil {
		w.Fatal(err)
	}
	record := contract.Record{
		PubKey: pubkey, Event: strings.Repeat("e", 64), Nodes: bytes.Repeat([]byte{1}, 26), Held: 1,
		Trust: -1, VerifiedAt: now - 7200, NextDue: now, Failures: 2,
	}
	stage.SetItem(&record, item)
	put(w, contract.BucketRecords, contract.RecordKey(stage.TargetHex(item)), record)
	put(w, contract.BucketAuthors, pubkey, contract.Author{
		DHTKey: record.DHTKey, DHTKeyBy: pubkey, DHTKeyAt: now, FirstSeen: now, LastSeen: now, NextResolve: now + 3600,
		Lists:   map[string]contract.List{contract.ViaDHT: {Version: 7, Key: record.DHTKey, ID: record.Sig}},
		Records: map[string]int64{stage.TargetHex(item): now},
	})
	other := relayURL(4)
	put(w, contract.BucketLinks, contract.LinkKey(nostr.RelayKey(other), pubkey), contract.Link{
		URL: other, Via: map[string]int64{contract.ViaDHT: 7, contract.ViaNIP65: now}, Key: record.DHTKey,
	})
	put(w, contract.BucketRelays, nostr.RelayKey(other), contract.Relay{
		URL: other, Via: contract.ViaDirectory, FirstSeen: now, Software: "hornets", Error: "no connection", ProbeFailures: 1,
		NextProbe: now + 60,
		Hornets:   &contract.Hornets{PubKey: pubkey, PeerID: "16Uiu2HAm", Addrs: []string{"/ip4/192.0.2.1/udp/9001/quic-v1"}},
		Failures:  3, Fault: "closed", RetryAt: now + 600, LatencyMS: 20,
	})
	put(w, contract.BucketCursors, nostr.RelayKey(home), contract.Cursor{URL: home, Since: now, Compared: now - 3600})
	put(w, contract.BucketHeard, nostr.RelayKey(home)+"."+strings.Repeat("0", 32), contract.Heard{Events: make([]byte, 33)})
	s := get[contract.Sync](w, contract.BucketSyncs, nostr.RelayKey(url))
	s.Live, s.Progress = now, &contract.SyncProgress{Begun: now, Done: []string{strings.Repeat("a", 16)}}
	put(w, contract.BucketSyncs, nostr.RelayKey(url), s)

	w.Publish(events.SubjectRecordPublished,
		nostr.Encode(events.RecordPublished{PubKey: pubkey, DHTKey: record.DHTKey, Target: stage.TargetHex(item), Seq: 7, Holders: 8}))
	w.Publish(events.SubjectRecordResolved, nostr.Encode(events.RecordResolved{PubKey: pubkey, Why: "not found"}))
	w.Publish(events.SubjectSyncFinished, nostr.Encode(events.SyncFinished{URL: url, OK: true, Authors: 1}))
	w.Publish(events.SubjectNoteFound,
		nostr.Encode(events.MissingNoteResponse{Found: true, RelayURL: url, Timestamp: now, EventID: record.Event}))
	w.Publish(events.SubjectNoteLost,
		nostr.Encode(events.MissingNoteResponse{Timestamp: now, EventID: record.Event, Why: "none of 1 relays has it"}))
	w.Publish(events.SubjectDAGWanted, nostr.Encode(events.DAGWanted{Root: dagRoot, PubKey: pubkey, Event: record.Event}))
}

// retryOne hands one of the dead letters back, which nobody takes yet.
func (w *world) retryOne() {
	w.Helper()
	letters, err := bus.OpenDLQ(context.Background(), w.JS)
	if err != nil {
		w.Fatal(err)
	}
	for letter, err := range letters.Each(context.Background(), bus.DeadLetterFilter{}) {
		if err == nil {
			err = letters.Retry(context.Background(), letter)
		}
		if err != nil {
			w.Fatal(err)
		}
		return
	}
	w.Fatal("there is no dead letter")
}

// dump writes what is stored.
func (w *world) dump(dir string, outside goldenWorld) {
	w.Helper()
	ctx := context.Background()
	var assets goldenAssets
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	enc.SetEscapeHTML(false)
	streams := w.JS.ListStreams(ctx)
	var names []string
	for s := range streams.Info() {
		names = append(names, s.Config.Name)
	}
	if err := streams.Err(); err != nil {
		w.Fatal(err)
	}
	slices.Sort(names)
	kept := map[string]bool{"00": true} // slices of the keyspace; the others are alike
	for _, target := range outside.Records {
		kept[contract.Slice(target)] = true
	}
	for _, name := range names {
		s, err := w.JS.Stream(ctx, name)
		if err != nil {
			w.Fatal(err)
		}
		config := s.CachedInfo().Config
		config.Metadata = nil // the server's own
		assets.Streams = append(assets.Streams, config)
		list := s.ListConsumers(ctx)
		for c := range list.Info() {
			if c.Config.Durable == "" {
				continue // of a watch
			}
			c.Config.Metadata = nil
			assets.Consumers = append(assets.Consumers, goldenConsumer{name, c.Config})
		}
		if err := list.Err(); err != nil {
			w.Fatal(err)
		}
		for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
			stored, err := s.GetMsg(ctx, seq)
			if err != nil {
				continue // removed
			}
			if _, slice, due := strings.Cut(stored.Subject, "record.due."); due && !kept[slice] {
				continue
			}
			m := goldenMessage{Stream: name, Subject: stored.Subject, Header: nats.Header{}}
			for key, values := range stored.Header {
				if !strings.HasPrefix(key, "Nats-Expected-") &&
					!slices.Contains([]string{"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Scheduler", "Nats-Schedule-Next"},
						key) {
					m.Header[key] = values // what the sender said, and no more
				}
			}
			if json.Valid(stored.Data) {
				m.Data = stored.Data
			} else {
				m.Text = string(stored.Data)
			}
			if err := enc.Encode(m); err != nil {
				w.Fatal(err)
			}
		}
	}
	slices.SortFunc(assets.Consumers, func(a, b goldenConsumer) int {
		return strings.Compare(a.Stream+"/"+a.Config.Name, b.Stream+"/"+b.Config.Name)
	})
	w.hasAll(lines.Bytes())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.Fatal(err)
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			w.Fatal(err)
		}
	}
	pretty := func(v any) []byte {
		text, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			w.Fatal(err)
		}
		return append(text, '\n')
	}
	write("assets.json", pretty(assets))
	write("messages.jsonl", lines.Bytes())
	write("world.json", pretty(outside))
}

// hasAll complains about a bucket of whose values a field is nowhere set, and
// about a subject on which there is no message.
func (w *world) hasAll(messages []byte) {
	w.Helper()
	fields := map[string]map[string]bool{}
	var subjects []string
	for line := range bytes.Lines(messages) {
		var m goldenMessage
		if err := json.Unmarshal(line, &m); err != nil {
			w.Fatal(err)
		}
		subjects = append(subjects, m.Subject)
		var object map[string]any
		if bucket, isKV := strings.CutPrefix(m.Stream, "KV_"); isKV && json.Unmarshal(m.Data, &object) == nil {
			if fields[bucket] == nil {
				fields[bucket] = map[string]bool{}
			}
			for name := range object {
				fields[bucket][name] = true
			}
		}
	}
	for bucket, v := range map[string]any{
		contract.BucketAuthors: contract.Author{}, contract.BucketRecords: contract.Record{}, contract.BucketRelays: contract.Relay{},
		contract.BucketLinks: contract.Link{}, contract.BucketSyncs: contract.Sync{}, contract.BucketRefused: contract.Refused{},
		contract.BucketCursors: contract.Cursor{}, contract.BucketLost: contract.Lost{},
		contract.BucketHeard: contract.Heard{},
	} {
		for i := range reflect.TypeOf(v).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(v).Field(i).Tag.Get("json"), ",")
			if !fields[bucket][name] {
				w.Errorf("bucket %s: no value has %s", bucket, name)
			}
		}
	}
	for _, s := range contract.Streams() {
		for _, pattern := range s.Subjects {
			is := func(subject string) bool { return matches(pattern, subject) }
			if s.Name != contract.StreamAdvisories && !slices.ContainsFunc(subjects, is) { // advisories are the server's own
				w.Errorf("stream %s: no message on %s", s.Name, pattern)
			}
		}
	}
}

// matches reports whether a subject matches a pattern with *.
func matches(pattern, subject string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(subject, ".")
	return slices.EqualFunc(want, have, func(p, s string) bool { return p == "*" || p == s })
}
