package sim_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What each released version has left behind in JetStream lies in
// testdata/golden, a directory for each, named by its version:
//
//	assets.json     the configuration of its streams (buckets are streams) and
//	                consumers
//	messages.jsonl  what was stored in them, a message a line
//	world.json      the relays around it, and what must become of it
//
// make golden writes that of the version to come; one that is released is never
// written again.
const goldenDir = "testdata/golden"

type goldenAssets struct {
	Streams   []jetstream.StreamConfig `json:"streams"`
	Consumers []goldenConsumer         `json:"consumers"`
}

type goldenConsumer struct {
	Stream string                   `json:"stream"`
	Config jetstream.ConsumerConfig `json:"config"`
}

// goldenMessage is one stored message: Data if it is JSON, else Text.
type goldenMessage struct {
	Stream  string          `json:"stream"`
	Subject string          `json:"subject"`
	Header  nats.Header     `json:"header,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	Text    string          `json:"text,omitempty"`
}

// goldenWorld is what was around the pipeline when it was stopped, and what
// must become of it.
type goldenWorld struct {
	Written     int64                    `json:"written"` // Unix seconds
	Relays      map[string][]nostr.Event `json:"relays"`
	AtHome      []string                 `json:"at_home"` // ids that the local relay must have in the end
	Refused     []string                 `json:"refused"` // ids that it must not have
	Records     []string                 `json:"records"` // targets that must be on the DHT
	DeadLetters int                      `json:"letters"` // dead letters that there must be; one that is retried becomes one again
}

// migrations are, of versions whose streams and buckets were others, some of
// the changes that must be made.
var migrations = map[string][]string{
	"v0.0.0-20261122182333-33f13e9e4d8e": {
		"updated stream AUTHOR: subjects +schedule.author.seen.*",
		"updated stream OUTCOME: subjects +dag.wanted",
		"created stream LIVE", "created consumer live of LIVE", "created bucket refused", "created bucket lost",
	},
}

// A version that is released has left something behind.
func TestEveryReleaseIsGolden(t *testing.T) {
	for _, version := range released(t) {
		if _, err := os.Stat(filepath.Join(goldenDir, version)); err != nil {
			t.Errorf("CHANGELOG.md says that %s is released: run make golden VERSION=%s before it is", version, strings.TrimPrefix(version, "v"))
		}
	}
}

// released are the versions that have a heading in CHANGELOG.md.
func released(t *testing.T) (versions []string) {
	t.Helper()
	text, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`(?m)^## \[?v?([0-9]+\.[0-9]+\.[0-9]+[^] ]*)`).FindAllSubmatch(text, -1) {
		versions = append(versions, "v"+string(found[1]))
	}
	return versions
}

func TestWhatOlderVersionsStoredIsReadAndWorkedOff(t *testing.T) {
	if testing.Short() {
		t.Skip("some hours of the whole pipeline for each version: not in -short")
	}
	dirs, err := filepath.Glob(goldenDir + "/*")
	if err != nil || len(dirs) < 2 {
		t.Fatalf("%d versions are kept: %v", len(dirs), err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var outside goldenWorld
			readJSON(t, filepath.Join(dir, "world.json"), &outside)
			// The server judges the age of messages by real time once a stream is
			// changed: the bubble's must not be far behind.
			today := time.Now()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(today.Add(24 * time.Hour)))
				upgrade(t, dir, outside)
			})
		})
	}
}

// upgrade migrates what a version has left, and lets this one work on it.
func upgrade(t *testing.T, dir string, outside goldenWorld) {
	w := bareWorld(t)
	w.maxLive = 10
	kept := w.load(dir)
	for url, list := range outside.Relays {
		w.relays.set(url, func(x *remote) { x.events = list })
	}
	w.relays.set(home, func(x *remote) { x.refuse = refuseGolden })

	made, err := bus.Provision(t.Context(), w.JS, bus.ProvisionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := bus.Plan(t.Context(), w.JS, bus.ProvisionOptions{}); err != nil || len(again) != 0 {
		t.Errorf("after the migration there is still to do: %v, %v", again, err)
	}
	for _, want := range migrations[filepath.Base(dir)] {
		if !slices.ContainsFunc(made, func(c bus.Change) bool { return strings.HasPrefix(c.Done(), want) }) {
			t.Errorf("the migration has not %s: %v", want, made)
		}
	}
	w.scheduleOnly(outside.Records...)
	for name, count := range kept {
		if n := w.Stored(name); n < count {
			t.Errorf("stream %s had %d messages, the migration left %d", name, count, n)
		}
	}
	before := w.decodeAll()

	stop := []*worker{w.ingest(nil), w.dhtworker(nil), w.syncworker(nil), w.fetcher(nil)}
	time.Sleep(90 * time.Minute) // every record was due, every relay, and every retry
	for _, x := range stop {
		x.end(t)
	}

	ids := w.relays.ids(home)
	for _, id := range outside.AtHome {
		if !slices.Contains(ids, id) {
			t.Errorf("the local relay lacks %s", id)
		}
	}
	for _, id := range outside.Refused {
		if slices.Contains(ids, id) {
			t.Errorf("the local relay has %s, which it refuses", id)
		}
	}
	w.dht.set(func(n *network) {
		for _, target := range outside.Records {
			if _, found := n.items[target]; !found {
				t.Errorf("the record %s is not on the DHT", target)
			}
		}
	})
	after := w.decodeAll()
	for target, record := range before.records {
		if now := after.records[target]; now.Seq < record.Seq || now.VerifiedAt < record.VerifiedAt {
			t.Errorf("record %s went back: it was %+v, and is %+v", target, record, now)
		}
	}
	for pubkey, author := range before.authors {
		// An earlier version took lists of anybody's key for the author's.
		for source, list := range stage.OwnLists(pubkey, author).Lists {
			if now := after.authors[pubkey].Lists[source]; now.Version < list.Version {
				t.Errorf("the %s list of %s went back from %d to %d", source, pubkey, list.Version, now.Version)
			}
		}
	}
	for _, c := range contract.Consumers() {
		if info, err := w.JS.Consumer(t.Context(), c.Stream, c.Name); err != nil {
			t.Error(err)
		} else if n := info.CachedInfo().NumPending; n > 0 && c.Stream != contract.StreamRecordDue && c.Stream != contract.StreamSyncDue {
			t.Errorf("%d messages of %s wait for %s", n, c.Stream, c.Name)
		}
	}
	if after.deadLetters != outside.DeadLetters {
		t.Errorf("%d dead letters became %d, want %d: %+v", before.deadLetters, after.deadLetters, outside.DeadLetters, w.DeadLetters())
	}
}

// bareWorld is a world with nothing provisioned.
func bareWorld(t *testing.T) *world {
	w := &natstest.World{T: t, Dir: natstest.Dir(t)}
	w.Server = natstest.StartOn(t, w.Dir)
	w.JS = natstest.Connect(t, w.Server)
	return newWorldOn(w)
}

// load stores what a version has left, and returns how many messages each
// stream has.
func (w *world) load(dir string) map[string]int {
	w.Helper()
	ctx := context.Background()
	var assets goldenAssets
	readJSON(w.T, filepath.Join(dir, "assets.json"), &assets)
	for _, c := range assets.Streams {
		if _, err := w.JS.CreateStream(ctx, c); err != nil {
			w.Fatalf("stream %s: %v", c.Name, err)
		}
	}
	file, err := os.Open(filepath.Join(dir, "messages.jsonl"))
	if err != nil {
		w.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var m goldenMessage
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			w.Fatal(err)
		}
		data := []byte(m.Data)
		if m.Data == nil {
			data = []byte(m.Text)
		}
		if _, err := w.JS.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: data},
			jetstream.WithExpectStream(m.Stream)); err != nil {
			w.Fatalf("%s: %v", m.Subject, err)
		}
	}
	if err := lines.Err(); err != nil {
		w.Fatal(err)
	}
	for _, c := range assets.Consumers {
		if _, err := w.JS.CreateConsumer(ctx, c.Stream, c.Config); err != nil {
			w.Fatalf("consumer %s of %s: %v", c.Config.Name, c.Stream, err)
		}
	}
	kept := map[string]int{}
	for _, c := range assets.Streams {
		kept[c.Name] = w.Stored(c.Name)
	}
	return kept
}

// knowledge is what lies in the buckets that must not go back.
type knowledge struct {
	records     map[string]contract.Record // by target
	authors     map[string]contract.Author
	deadLetters int
}

// decodeAll reads every value as what it is.
func (w *world) decodeAll() knowledge {
	w.Helper()
	k := knowledge{map[string]contract.Record{}, map[string]contract.Author{}, len(w.DeadLetters())}
	each(w, contract.BucketAuthors, func(key string, v contract.Author) { k.authors[key] = v })
	each(w, contract.BucketRecords, func(key string, v contract.Record) {
		target := key[strings.IndexByte(key, '.')+1:]
		if item, err := stage.Item(v); err != nil || item.Verify() != nil || stage.TargetHex(item) != target {
			w.Errorf("record %s does not verify: %+v, %v", target, v, err)
		}
		k.records[target] = v
	})
	each(w, contract.BucketRelays, func(key string, v contract.Relay) { w.keyed(contract.BucketRelays, key, v.URL) })
	each(w, contract.BucketSyncs, func(key string, v contract.Sync) { w.keyed(contract.BucketSyncs, key, v.URL) })
	each(w, contract.BucketCursors, func(key string, v contract.Cursor) { w.keyed(contract.BucketCursors, key, v.URL) })
	each(w, contract.BucketLinks, func(key string, v contract.Link) {
		w.keyed(contract.BucketLinks, strings.TrimPrefix(key[:strings.LastIndexByte(key, '.')], "reads."), v.URL)
	})
	each(w, contract.BucketRefused, func(key string, v contract.Refused) {
		if v.Why == "" || v.At == 0 {
			w.Errorf("refused %s: %+v", key, v)
		}
	})
	each(w, contract.BucketLost, func(key string, v contract.Lost) {
		if v.Why == "" || v.Until == 0 {
			w.Errorf("lost %s: %+v", key, v)
		}
	})
	return k
}

// keyed checks that a value of a relay lies under the relay's key.
func (w *world) keyed(bucket, key, url string) {
	w.Helper()
	if key != nostr.RelayKey(url) {
		w.Errorf("bucket %s: %s is the key of %q", bucket, key, url)
	}
}

func each[T any](w *world, bucket string, f func(key string, v T)) {
	w.Helper()
	for _, key := range keys[T](w, bucket, ">") {
		f(key, get[T](w, bucket, key))
	}
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
