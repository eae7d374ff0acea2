package contract_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale; look at the difference and run: go test ./internal/contract -update\ngot:\n%s", path, got)
	}
}

var (
	key32  = strings.Repeat("0a", 32)
	key32b = strings.Repeat("0b", 32)
	sig64  = strings.Repeat("0c", 64)
	target = strings.Repeat("0d", 20)
	note   = nostr.Event{
		ID: key32, PubKey: key32b, CreatedAt: 1_700_000_000, Kind: 1, Tags: []nostr.Tag{{"e", key32}}, Content: "hi",
		Sig: sig64,
	}
)

// examples pairs each payload and KV value with what it looks like in full.
func examples() []struct {
	on    string
	value any
} {
	relays := []string{"wss://relay.example.com"}
	finished := events.SyncFinished{URL: relays[0], OK: true, Authors: 2, Missing: 3, Stored: 3, Messages: 4, Millis: 5}
	return []struct {
		on    string
		value any
	}{
		{events.SubjectEventReceived, note},
		{events.SubjectAuthorSeen, events.AuthorSeen{PubKey: key32, DHTKey: key32b, Relays: relays, Event: key32}},
		{
			events.SubjectRelayListSigned,
			events.RelayListSigned{
				PubKey: key32, Relays: relays, CreatedAt: 1, Signature: sig64, DHTKey: key32b, Salt: "6e", Seq: 2,
				Value: []byte("2:[]"), DHTSig: sig64, Event: &note,
			},
		},
		{events.SubjectRelayDiscovered, events.RelayDiscovered{URL: relays[0], Authors: []string{key32}, Via: contract.ViaNIP65, Cause: key32}},
		{
			events.SubjectNoteMissing,
			events.NoteMissing{
				EventID: key32, Address: "30023:" + key32 + ":d", AuthorPubkey: key32b, DHTKey: key32, Relays: relays,
				ReferencedBy: key32b,
			},
		},
		{contract.RecordDueSubject("0d"), contract.RecordDue{Slice: "0d"}},
		{contract.SyncDueSubject(nostr.RelayKey(relays[0])), contract.SyncDue{URL: relays[0], Cause: "RELAY:1"}},
		{contract.LiveDueSubject(nostr.RelayKey(relays[0])), contract.LiveDue{URL: relays[0]}},
		{
			events.SubjectRecordPublished,
			events.RecordPublished{
				PubKey: key32, DHTKey: key32b, Target: target, Seq: 2, Holders: 8, Refresh: true, Superseded: true, Equivocal: true,
				From: "192.0.2.1", Warning: "of 8 nodes that gave us the record, 3 gave it to the worker at 192.0.2.1: the others may answer us only",
			},
		},
		{events.SubjectRecordResolved, events.RecordResolved{PubKey: key32, DHTKey: key32b, Seq: 2, Relays: relays, Found: true}},
		{events.SubjectSyncFinished, finished},
		{events.SubjectNoteFound, events.MissingNoteResponse{Event: &note, Found: true, RelayURL: relays[0], Timestamp: 1, EventID: key32}},
		{events.SubjectNoteLost, events.MissingNoteResponse{Timestamp: 1, EventID: key32, Why: "none of 3 relays has it"}},
		{
			events.SubjectDAGWanted,
			events.DAGWanted{Root: "bafireief6qeuk2lob7w7fa3adzr2z2z5zp7nodt5bmuwb2uj2lrlevqw7u", PubKey: key32b, Event: key32},
		},
		{
			contract.DLQSubject(contract.StageIngest),
			contract.DeadLetter{
				Stage: contract.StageIngest, Subject: events.SubjectEventReceived, Data: []byte("{"),
				Reason: "event: not a JSON event", Attempts: 1, Time: 2, Size: 9,
				History: []contract.Failure{{Reason: "no relay answers", Attempts: 20, Time: 1}},
			},
		},
		{
			events.ServiceNoteFetch,
			events.MissingNoteRequest{
				NoteMissing: events.NoteMissing{EventID: key32, AuthorPubkey: key32b, DHTKey: key32}, TimeoutMS: 3000, Thread: true,
			},
		},
		{
			events.ServiceNoteFetch + " (reply)",
			events.MissingNoteResponse{
				Event: &note, Found: true, RelayURL: relays[0], Timestamp: 1, EventID: key32,
				Thread: []events.MissingNoteResponse{{Timestamp: 1, EventID: key32b, Why: "none of 3 relays has it"}},
			},
		},
		{events.ServiceListResolve, events.ResolveRequest{PubKey: key32, DHTKey: key32b, TimeoutMS: 3000, Except: "192.0.2.1"}},
		{
			events.ServiceListResolve + " (reply)",
			events.ResolveResponse{
				PubKey: key32, Relays: relays, DHTKey: key32b, Target: target, Seq: 2, Value: []byte("2:[]"), DHTSig: sig64,
				Holders: 8, Found: true, From: "192.0.2.1",
			},
		},
		{
			"KV " + contract.BucketAuthors,
			contract.Author{
				DHTKey: key32, DHTKeyBy: key32b, DHTKeyAt: 1, FirstSeen: 1, LastSeen: 2, NextResolve: 3,
				Lists:   map[string]contract.List{contract.ViaDHT: {Version: 2, Key: key32, ID: key32, Write: relays, Read: relays}},
				Records: map[string]int64{target: 1},
			},
		},
		{
			"KV " + contract.BucketRecords,
			contract.Record{
				DHTKey: key32, Salt: "6e", Seq: 2, Value: []byte("2:[]"), Sig: sig64, PubKey: key32b, Event: key32,
				Nodes: make([]byte, 26), Held: 1, Trust: 3, VerifiedAt: 1, NextDue: 2, Failures: 1, Superseded: true,
			},
		},
		{
			"KV " + contract.BucketRelays,
			contract.Relay{
				URL: relays[0], Via: contract.ViaDHT, FirstSeen: 1, ProbedAt: 2, Name: "n", Software: "s", NIPs: []int{1, 77},
				Error:         "e",
				Hornets:       &contract.Hornets{PubKey: key32, PeerID: "16Uiu2HAm", Addrs: []string{"/ip4/192.0.2.1/udp/9001/quic-v1"}},
				ProbeFailures: 1, NextProbe: 3, Failures: 1, Fault: "f", RetryAt: 4, LatencyMS: 5,
			},
		},
		{
			"KV " + contract.BucketLinks,
			contract.Link{URL: relays[0], Via: map[string]int64{contract.ViaDHT: 2, contract.ViaNIP65: 1}, Key: key32},
		},
		{
			"KV " + contract.BucketSyncs,
			contract.Sync{
				URL: relays[0], LastOK: 1, LastTry: 2, Failures: 1, Last: finished, Stored: 9, Through: 1, Live: 2,
				Progress:  &contract.SyncProgress{Begun: 2, Done: []string{"0123456789abcdef"}},
				SampledAt: 2, GaveBack: []string{key32},
				Doubt: &contract.Doubt{At: 2, Why: "it said OK to 5 or more events that it does not deliver afterwards", Unwritten: true},
			},
		},
		{"KV " + contract.BucketRefused, contract.Refused{Local: true, Why: "blocked: not here", At: 1}},
		{
			"KV " + contract.BucketSurveys,
			contract.Survey{
				Authors: 1, Passed: 2, Day: 3, Bytes: 4, Since: 5, SinceAt: 6, Why: "w", Brought: []contract.Brought{{ID: key32, At: 1}},
				Looks: map[string]contract.Look{
					nostr.RelayKey(relays[0]): {At: 1, Next: 2, N: 3, All: 4, Dull: 5, Whole: true, Paged: true, From: 6, Read: 7},
				},
			},
		},
		{"KV " + contract.BucketCursors, contract.Cursor{URL: relays[0], Since: 1, Compared: 2}},
		{"KV " + contract.BucketHeard, contract.Heard{Events: append([]byte{1}, make([]byte, 32)...)}},
		{"KV " + contract.BucketLost, contract.Lost{At: 1, Until: 2, Relays: relays, Why: "none of 3 relays has it"}},
		{
			"KV " + contract.BucketGateways,
			contract.GatewayProcess{
				Gateway: contract.Gateway{
					Relay: "ws://relay:7777", Connections: 120, Messages: 9000, Watched: 80, Completed: 7, Vain: 2, Waits: 9, WaitMS: 450,
				},
				Version: "1.2.3", Host: "gateway-0", Started: 1, At: 2, Wrong: "connection refused",
			},
		},
		{
			"KV " + contract.BucketHistory,
			contract.Figures{
				At: 1, Users: 9, Findable: 8, Lost: 1, Live: 4, Complete: 3, Failing: 1, Missing: 2, Wanted: 7, Found: 6, InVain: 5,
				DeadLetters: 1, Lags: map[string]uint64{contract.StageIngest: 3}, Wrong: []string{"DHT"},
			},
		},
	}
}

func TestPayloadsAreWhatTheGoldenFileSays(t *testing.T) {
	var b bytes.Buffer
	for _, c := range examples() {
		fmt.Fprintf(&b, "# %s %T\n", c.on, c.value)
		text, err := json.MarshalIndent(c.value, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n\n", text)
	}
	golden(t, "testdata/payloads.golden", b.Bytes())
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	p, err := nostr.Decode[events.AuthorSeen]([]byte(`{"pubkey":"x","from_the_future":{"a":1}}`))
	if err != nil || p.PubKey != "x" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestSubjectsDocIsFresh(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("<!-- Generated from internal/contract by: go test ./internal/contract -update -->\n# Subjects, streams and buckets\n\n")
	b.WriteString("Public subjects (anyone with the permission may publish): `event.received`, `author.seen`, `relaylist.signed`,\n" +
		"`relay.discovered`, `note.missing`. Everything keyed (`author.seen.<pubkey>`, …) is internal.\n")
	b.WriteString("With `--nats-prefix alice` all have it before their names: `alice.event.received`, `alice_INTAKE`, `alice_authors`.\n")
	b.WriteString("Name yourself in the header `" + events.HeaderSender + "`, and set no `Nats-Msg-Id`: others could have used it before. " +
		"Ingest takes an event once.\n")
	b.WriteString("Services: `" + events.ServiceNoteFetch + "` (fetchers), `" + events.ServiceListResolve +
		"` (dhtworkers). They answer to inboxes (`_INBOX…`) only.\n\n")
	b.WriteString("## Streams\n\n| stream | subjects | holds | behaviour |\n|---|---|---|---|\n")
	for _, s := range contract.Streams() {
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", s.Name, strings.Join(s.Subjects, "`, `"), s.Doc, behaviour(s))
	}
	b.WriteString("\n## Consumers\n\n| stage | stream / consumer | delivers | in flight per worker |\n|---|---|---|---|\n")
	for _, c := range contract.Consumers() {
		fmt.Fprintf(&b, "| %s | %s / %s | `%s` | %d |\n", c.Stage, c.Stream, c.Name, strings.Join(c.Filters, "`, `"), c.InFlight)
	}
	b.WriteString("\n## KV buckets\n\n| bucket | holds |\n|---|---|\n")
	for _, k := range contract.Buckets() {
		fmt.Fprintf(&b, "| %s | %s |\n", k.Name, k.Doc)
	}
	b.WriteString("\n## Payloads\n\nUnknown fields are ignored, new fields are optional. " +
		"Bytes are base64, keys and signatures lower-case hex, times Unix seconds.\n")
	for _, c := range examples() {
		text, err := json.MarshalIndent(c.value, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n```json\n%s\n```\n", c.on, text)
	}
	golden(t, "../../docs/subjects.md", b.Bytes())
}

// Operators read there what every stream may take, and what happens then.
func TestTheBoundsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range contract.Streams() {
		full := "who publishes waits"
		switch {
		case s.Name == contract.StreamIntake:
			full = "publishing is refused (error 10077): see above"
		case s.Name == contract.StreamRetry:
			full = "retries wait in their own queues, a minute each time"
		case s.Name == contract.StreamRecordDue:
			full = "cannot be"
		case !s.Queue:
			full = "the oldest messages go"
		}
		bound := fmt.Sprintf("%d MiB", s.MaxBytes>>20)
		switch {
		case s.MaxWaiting > 0:
			bound = fmt.Sprintf("%d that wait", s.MaxWaiting)
		case s.MaxBytes == 0 || s.Why == "":
			t.Errorf("%s has no bound, or none with a reason", s.Name)
		}
		if s.MaxAge > 0 {
			bound += fmt.Sprintf(", %d h", s.MaxAge/time.Hour)
		}
		if row := fmt.Sprintf("| %s | %s | %s | %s |", s.Name, bound, s.Why, full); !strings.Contains(string(text), row) {
			t.Errorf("docs/operating.md lacks: %s", row)
		}
	}
}

func behaviour(s contract.Stream) string {
	var words []string
	if s.Queue {
		words = append(words, "work queue")
	} else {
		words = append(words, "kept for "+s.MaxAge.String())
	}
	if s.Coalesce {
		words = append(words, "coalescing: the newest message per subject waits")
	}
	if s.Once {
		words = append(words, "once while outstanding: a second message per subject is refused (10077)")
	}
	if s.Schedules {
		words = append(words, "schedules")
	}
	return strings.Join(words, ", ")
}

func TestEveryConsumerReadsItsStreamAndNoSchedule(t *testing.T) {
	streams := map[string]contract.Stream{}
	for _, s := range contract.Streams() {
		streams[s.Name] = s
	}
	taken := map[string]string{}
	for _, c := range contract.Consumers() {
		s, ok := streams[c.Stream]
		if !ok {
			t.Errorf("%s: no stream %s", c.Name, c.Stream)
		}
		for _, f := range c.Filters {
			if strings.HasPrefix(f, contract.PrefixSchedule) {
				t.Errorf("%s/%s: acknowledging %s would delete schedules", c.Stream, c.Name, f)
			}
			if other, dup := taken[c.Stream+f]; dup && s.Queue {
				t.Errorf("%s: %s and %s both take %s from a work queue", c.Stream, other, c.Name, f)
			}
			taken[c.Stream+f] = c.Name
		}
	}
}

// The server holds the ids of a window in memory, so that of work which strangers cause
// is short; and longer than it takes until a worker that has died is followed by another.
func TestIDsOfWorkAreHeldForMinutesOnly(t *testing.T) {
	for _, s := range contract.Streams() {
		if !s.Queue || s.Name == contract.StreamIntake {
			continue
		}
		if s.Dedupe > 2*time.Minute {
			t.Errorf("stream %s holds ids for %s", s.Name, s.Dedupe)
		}
		for _, c := range contract.Consumers() {
			if s.Dedupe < 3*c.AckWait {
				t.Errorf("stream %s holds ids for %s, and %s is followed after %s", s.Name, s.Dedupe, c.Name, c.AckWait)
			}
		}
	}
}

func TestSlicesComeInTheirOrderAtAnEvenPaceAtLeastOnceAnHour(t *testing.T) {
	for every, turn := range map[time.Duration]int{30 * time.Minute: 1800, time.Hour: 3600, 6 * time.Hour: 3600} {
		list, err := contract.RecordSchedules(every)
		if err != nil || len(list) != 256 {
			t.Fatalf("%s: %d slices, %v", every, len(list), err)
		}
		for i, s := range list {
			var sec, minute int
			if _, err := fmt.Sscanf(s.Cron, "%d %d", &sec, &minute); err != nil || !strings.HasSuffix(s.Cron, " * * * *") {
				t.Fatalf("%s: %q, %v", every, s.Cron, err)
			}
			if at, want := 60*minute+sec, i*turn/256; at != want || s.Subject != contract.RecordDueSubject(fmt.Sprintf("%02x", i)) {
				t.Errorf("%s: %s comes at second %d, want %d", every, s.Subject, at, want)
			}
		}
	}
	if _, err := contract.RecordSchedules(5 * time.Hour); err == nil || !strings.HasPrefix(err.Error(), "refresh interval 5h") {
		t.Errorf("5h: %v", err)
	}
}

func TestCronSpreadsKeysOverTheInterval(t *testing.T) {
	for every, fields := range map[time.Duration]string{
		10 * time.Second: " * * * * *", time.Minute: " * * * * *", 15 * time.Minute: " * * * *", time.Hour: " * * * *", 6 * time.Hour: " * * *",
		24 * time.Hour: " * * *",
	} {
		seen := map[string]bool{}
		for i := range 64 {
			cron, err := contract.Cron(fmt.Sprint("key", i), every)
			if err != nil || !strings.HasSuffix(cron, fields) || strings.Contains(cron, "@") {
				t.Fatalf("%s: %q, %v", every, cron, err)
			}
			seen[cron] = true
		}
		if len(seen) < 8 {
			t.Errorf("%s: 64 keys share %d phases", every, len(seen))
		}
	}
	for _, every := range []time.Duration{
		0, -time.Second, time.Millisecond, 7 * time.Second, 90 * time.Second, 5 * time.Hour, 48 * time.Hour,
	} {
		if cron, err := contract.Cron("key", every); err == nil {
			t.Errorf("%s: accepted as %q", every, cron)
		}
	}
}
