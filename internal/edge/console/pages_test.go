package console

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// put writes a value of a bucket.
func (w *world) put(bucket, key string, value any) {
	w.Helper()
	store, err := w.JS.KeyValue(w.Context(), bucket)
	if err == nil {
		_, err = store.Put(w.Context(), key, nostr.Encode(value))
	}
	if err != nil {
		w.Fatal(err)
	}
}

// due stores a schedule as the stages do.
func (w *world) due(subject, cron string) {
	w.Helper()
	m := &nats.Msg{Subject: contract.PrefixSchedule + subject, Data: []byte("{}"), Header: nats.Header{
		"Nats-Schedule": {cron}, "Nats-Schedule-Target": {subject},
	}}
	if _, err := w.JS.PublishMsg(w.Context(), m); err != nil {
		w.Fatal(err)
	}
}

const (
	hostile = "<script>alert(1)</script>\u202e\x07"
	goodURL = "wss://good.example.com"
	badURL  = "wss://bad.example.com"
)

// known fills the buckets with one author, two relays and a record, and tells
// the author's key and the record's target.
func (w *world) known() (pubkey, dhtKey, target string) {
	w.Helper()
	now := time.Now().Unix()
	key, err := schnorr.NewSecret()
	if err != nil {
		w.Fatal(err)
	}
	pubkey = key.PublicKey()
	dht := [32]byte{1, 2, 3}
	sum := bep44.Target(dht, nil)
	dhtKey, target = hex.EncodeToString(dht[:]), hex.EncodeToString(sum[:])
	w.put(contract.BucketAuthors, pubkey, contract.Author{
		DHTKey: dhtKey, DHTKeyBy: pubkey, DHTKeyAt: now - 60, FirstSeen: now - 7200, LastSeen: now - 60, NextResolve: now + 3600,
		Lists:   map[string]contract.List{contract.ViaNIP65: {Version: now - 60, Write: []string{goodURL}}},
		Records: map[string]int64{target: now - 60},
	})
	w.put(contract.BucketRecords, contract.RecordKey(target), contract.Record{
		DHTKey: dhtKey, Seq: 7, PubKey: pubkey, Nodes: make([]byte, 12*nodeInfo), Held: 9, VerifiedAt: now - 600, NextDue: now + 600,
	})
	w.due(contract.RecordDueSubject(contract.Slice(target)), "0 0 * * * *")
	for url, r := range map[string]contract.Relay{
		goodURL: {Via: contract.ViaNIP65, ProbedAt: now - 60, Name: hostile, NIPs: []int{1, 42, 77}, LatencyMS: 12},
		badURL:  {Via: contract.ViaHint, Failures: 3, Fault: "relay " + badURL + ": " + hostile, RetryAt: now + 1800},
	} {
		r.URL, r.FirstSeen = url, now-7200
		w.put(contract.BucketRelays, nostr.RelayKey(url), r)
		w.put(contract.BucketLinks, contract.LinkKey(nostr.RelayKey(url), pubkey),
			contract.Link{URL: url, Via: map[string]int64{contract.ViaNIP65: 1, contract.ViaHint: 0}})
		w.due(contract.SyncDueSubject(nostr.RelayKey(url)), "30 0,15,30,45 * * * *")
	}
	w.put(contract.BucketSyncs, nostr.RelayKey(goodURL),
		contract.Sync{URL: goodURL, LastOK: now - 30, LastTry: now - 30, Last: events.SyncFinished{OK: true, Stored: 4, Refused: 1}})
	return pubkey, dhtKey, target
}

func TestRelaysInTroubleComeFirst(t *testing.T) {
	w := newWorld(t)
	w.known()
	v := ask[relaysView](w, "/relays")
	if len(v.Relays) != 2 || v.Next != 0 {
		t.Fatalf("relays are %+v", v)
	}
	bad, good := v.Relays[0], v.Relays[1]
	if bad.Health != healthResting || bad.Is.URL != badURL || strings.Contains(bad.Why, badURL) || bad.Next < bad.Is.RetryAt ||
		bad.Sync != nil {
		t.Errorf("the bad one is %+v", bad)
	}
	if good.Health != healthOK || good.Next <= time.Now().Unix()-1 || good.Next > time.Now().Unix()+901 ||
		good.Did() != "4 stored, 1 refused" {
		t.Errorf("the good one is %+v", good)
	}
	page := w.page("/relays")
	for _, want := range []string{goodURL, "negentropy", "auth", "12 ms", "resting", "4 stored, 1 refused", "left alone", "&lt;script&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, never := range []string{"<script>alert", "\u202e", "\x07"} {
		if strings.Contains(page, never) {
			t.Errorf("the page says %q", never)
		}
	}
}

func TestRecordsTellTheirHoldersAndNextRefresh(t *testing.T) {
	w := newWorld(t)
	pubkey, _, target := w.known()
	v := ask[recordsView](w, "/records?slice="+contract.Slice(target))
	if len(v.Records) != 1 {
		t.Fatalf("records are %+v", v)
	}
	r := v.Records[0]
	if r.Target != target || r.PubKey != pubkey || r.Seq != 7 || r.Holders != 9 || r.Nodes != 12 || r.State != recordKept {
		t.Errorf("the record is %+v", r)
	}
	if next := time.Unix(r.Next, 0); next.Unix()%3600 != 0 || time.Until(next) < 9*time.Minute || time.Until(next) > 71*time.Minute {
		t.Errorf("it is refreshed %s, want the next full hour after it is due", next)
	}
	if v := ask[recordsView](w, "/records?slice=00"); len(v.Records) != 0 {
		t.Errorf("another slice holds %+v", v.Records)
	}
	if !strings.Contains(w.page("/records"), "9 of 12 nodes") {
		t.Error("the page does not say how many nodes hold it")
	}
}

// A page of a large bucket is bounded, and the next one goes on.
func TestListsComeInPages(t *testing.T) {
	w := newWorld(t)
	for i := range perPage + 20 {
		url := fmt.Sprintf("wss://r%03d.example.com", i)
		w.put(contract.BucketRelays, nostr.RelayKey(url), contract.Relay{URL: url})
	}
	first := ask[relaysView](w, "/relays")
	if len(first.Relays) != perPage || first.Left != 20 {
		t.Fatalf("the first page has %d relays, and %d are left", len(first.Relays), first.Left)
	}
	second := ask[relaysView](w, fmt.Sprintf("/relays?from=%d", first.Next))
	if len(second.Relays) != 20 || second.Next != 0 {
		t.Errorf("the second page has %d relays and goes on at %d", len(second.Relays), second.Next)
	}
	if page := w.page("/relays"); !strings.Contains(page, fmt.Sprintf(`href="/relays?from=%d"`, first.Next)) {
		t.Error("the page has no link to the next one")
	}
}

func TestSearchFindsAnAuthorByEveryName(t *testing.T) {
	w := newWorld(t)
	pubkey, dhtKey, target := w.known()
	w.send(events.SubjectRecordPublished, events.RecordPublished{PubKey: pubkey, DHTKey: dhtKey, Target: target, Seq: 7, Holders: 9})
	for _, q := range []string{pubkey, npub(pubkey), "nostr:" + npub(pubkey), strings.ToUpper(pubkey), dhtKey, target} {
		f := ask[Found](w, "/search?q="+q)
		if f.Author == nil || f.Author.PubKey != pubkey || len(f.Author.Relays) != 2 || len(f.Records) != 1 || f.Records[0].Target != target {
			t.Errorf("%s finds %+v", q, f)
		}
		if len(f.Recent) != 1 || f.Recent[0].Text != "seq 7 is held by 9 nodes" {
			t.Errorf("%s finds the outcomes %+v", q, f.Recent)
		}
	}
	page := w.page("/search?q=" + pubkey)
	for _, want := range []string{npub(pubkey), "the author's own event", goodURL, "nip65", "in 59 min", "9 of 12 nodes"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestSearchFindsRelaysAndNotes(t *testing.T) {
	w := newWorld(t)
	pubkey, _, _ := w.known()
	for _, q := range []string{goodURL, goodURL + "/", "good.example.com"} {
		if f := ask[Found](w, "/search?q="+q); f.Relay == nil || f.Relay.Is.URL != goodURL || len(f.Relay.Authors) != 1 ||
			f.Relay.Authors[0].PubKey != pubkey {
			t.Errorf("%s finds %+v", q, f.Relay)
		}
	}
	wanted, lost := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	w.send(contract.NoteMissingSubject(wanted), events.NoteMissing{EventID: wanted, ReferencedBy: lost, Relays: []string{goodURL}})
	w.put(contract.BucketLost, lost,
		contract.Lost{At: time.Now().Unix() - 60, Until: time.Now().Unix() + 60, Relays: []string{badURL}, Why: hostile})
	w.put(contract.BucketRefused, contract.RefusedKey(nostr.RelayKey(goodURL), wanted), contract.Refused{Local: true, Why: "blocked", At: 1})
	w.send(events.SubjectNoteFound, events.MissingNoteResponse{EventID: wanted, Found: true, RelayURL: goodURL})
	w.send(contract.DLQSubject(contract.StageFetcher),
		contract.DeadLetter{Stage: contract.StageFetcher, Subject: contract.NoteMissingSubject(wanted), Reason: "no"})

	f := ask[Found](w, "/search?q="+wanted)
	if f.Note == nil || f.Note.Wanted == nil || f.Note.Wanted.Is.ReferencedBy != lost || f.Note.Lost != nil || len(f.Note.Refused) != 1 ||
		f.Note.Refused[0].URL != goodURL {
		t.Errorf("the wanted note is %+v", f.Note)
	}
	if len(f.Recent) != 1 || f.Recent[0].Text != "found at "+goodURL || len(f.DeadLetters) != 1 {
		t.Errorf("it is told %+v and %+v", f.Recent, f.DeadLetters)
	}
	if f := ask[Found](w, "/search?q="+lost); f.Note == nil || f.Note.Lost == nil || f.Note.Wanted != nil {
		t.Errorf("the lost note is %+v", f.Note)
	}
	if page := w.page("/search?q=" + lost); strings.Contains(page, "<script>alert") || !strings.Contains(page, "not found") {
		t.Error("the page of the lost note is wrong")
	}
	if !strings.Contains(w.page("/search?q="+strings.Repeat("77", 32)), "Nothing is known of it") {
		t.Error("what is not known is not said to be so")
	}
	if !strings.Contains(w.page("/search?q="), "What do we know") {
		t.Error("an empty search does not say what can be searched for")
	}
	for _, q := range []string{"hello", "npub1hello", "http://x.example.com", strings.Repeat("x", maxQuery+1)} {
		if rec := w.do(http.MethodGet, "/search?q="+q, ""); rec.Code != http.StatusBadRequest {
			t.Errorf("%.20s: %d", q, rec.Code)
		}
	}
}

// When a schedule comes next, at the edges of minute, hour and day.
func TestCronSpecs(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, try := range []struct{ cron, from, want string }{
		{"30 0,15,30,45 * * * *", "2026-11-22 23:46:00", "2026-11-23 00:00:30"},
		{"30 0,15,30,45 * * * *", "2026-11-22 23:45:30", "2026-11-22 23:45:30"},
		{"5 10 2,14 * * *", "2026-11-22 14:10:06", "2026-11-23 02:10:05"},
		{"5 10 14 * * *", "2026-11-22 14:10:06", "2026-11-23 14:10:05"},
		{"3,13,23,33,43,53 * * * * *", "2026-11-22 14:10:54", "2026-11-22 14:11:03"},
	} {
		cron, ok := parseCron(try.cron)
		if got := cron.after(at(try.from)); !ok || got != at(try.want).Unix() {
			t.Errorf("%s from %s: %s, %t, want %s", try.cron, try.from, time.Unix(got, 0).UTC(), ok, try.want)
		}
	}
	for _, bad := range []string{"", "@at 2026-11-22T14:10:06Z", "x * * * * *", "* * * * * *", "0 0 0 1 * *"} {
		if _, ok := parseCron(bad); ok {
			t.Errorf("%q is taken for a cron expression", bad)
		}
	}
	if every, err := contract.Cron("key", 6*time.Hour); err != nil {
		t.Error(err)
	} else if cron, ok := parseCron(every); !ok || cron.after(time.Now()) == 0 {
		t.Errorf("%q is not understood", every)
	}
}

func TestTextIsMadeFitToBeShown(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                  "plain",
		"a\nb\tc":                "a b c",
		"\u202eevil\u2066\u200b": "\ufffdevil\ufffd\ufffd",
		"\x1b[31m\x00":           "\ufffd[31m\ufffd",
		"0123456789x":            "0123456789…",
	} {
		if got := text(10, in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// Every page has JSON for those who ask for it, and says so to caches.
func TestEveryPageIsJSONForThoseWhoAsk(t *testing.T) {
	w := newWorld(t)
	w.send(contract.DLQSubject(contract.StageIngest),
		contract.DeadLetter{Stage: contract.StageIngest, Subject: "event.received", Reason: "bad"})
	for _, path := range []string{"/", "/relays", "/records", "/search", "/search?q=" + goodURL, "/dlq", "/dlq/1"} {
		rec := w.do(http.MethodGet, path, "", header("Accept", "application/json"))
		var v map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil || rec.Code != http.StatusOK || len(v) == 0 ||
			!strings.Contains(rec.Header().Get("Vary"), "Accept") {
			t.Errorf("%s: %d, %v, %s", path, rec.Code, err, rec.Body)
		}
		if page := w.page(path); !strings.Contains(page, "</html>") {
			t.Errorf("%s is cut off", path)
		}
	}
	rec := w.do(http.MethodGet, "/dlq/99", "", header("Accept", "application/json"))
	if rec.Code != http.StatusNotFound || !strings.Contains(rec.Body.String(), `"error":"there is no dead letter 99`) {
		t.Errorf("a dead letter that is not there: %d, %s", rec.Code, rec.Body)
	}
}
