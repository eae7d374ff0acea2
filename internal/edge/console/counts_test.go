package console

import (
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const aDay = 24 * 3600

// recordHeld is a record of user i that so many of twelve nodes hold.
func recordHeld(i, held int, now int64) contract.Record {
	return contract.Record{
		PubKey: key(i), Nodes: make([]byte, 12*nodeInfo), Held: held, VerifiedAt: now - 60, NextDue: now + 60,
	}
}

func key(i int) string { return fmt.Sprintf("%064x", i) }

func target(i int) string { return fmt.Sprintf("%040x", i) }

// A record counts by what is known of it, and a user by the best of his records.
func TestUsersAreCountedByTheRecordsThatNodesHold(t *testing.T) {
	now := time.Now()
	overdueRecord, waiting := recordHeld(5, 12, now.Unix()), recordHeld(6, 0, now.Unix())
	overdueRecord.NextDue = now.Add(-2 * time.Hour).Unix()
	waiting.Nodes, waiting.VerifiedAt = nil, 0
	thin := recordHeld(2, 2, now.Unix())
	thin.Failures = 1
	f := newFacts()
	put := func(bucket, key string, value any) { f.apply(bucket, key, nostr.Encode(value), now.Unix()) }
	for i, r := range []contract.Record{
		recordHeld(1, 12, now.Unix()), thin, recordHeld(2, 9, now.Unix()), recordHeld(3, 0, now.Unix()), recordHeld(4, 5, now.Unix()),
		overdueRecord, waiting,
		recordHeld(99, 12, now.Unix()), // whose author is not known
	} {
		put(contract.BucketRecords, contract.RecordKey(target(i)), r)
	}
	for i := 1; i <= 8; i++ {
		a := contract.Author{Lists: map[string]contract.List{}}
		if i <= 6 {
			a.Lists[contract.ViaDHT] = contract.List{Write: []string{goodURL}}
		}
		if i%2 == 0 {
			a.Lists[contract.ViaNIP65] = contract.List{Read: []string{goodURL}}
		}
		if i == 7 { // a list that has ended
			a.Lists[contract.ViaNIP65] = contract.List{Version: 5}
		}
		put(contract.BucketAuthors, key(i), a)
	}
	s := f.count(now)
	if s.Users.All != 8 || s.Users.Findable != 3 || s.Users.Listed != 7 ||
		!maps.Equal(s.Users.Lists, map[string]int{contract.ViaDHT: 6, contract.ViaNIP65: 4}) {
		t.Errorf("users are %+v", s.Users)
	}
	if got := fmt.Sprint(s.Users.Holders); got != "[{0 0 3} {1 3 0} {4 7 1} {8 12 3}]" {
		t.Errorf("holders are %s", got)
	}
	want := map[string]int{recordKept: 4, recordThin: 1, recordLost: 1, recordOverdue: 1, recordWaiting: 1}
	if !maps.Equal(s.Records, want) {
		t.Errorf("records are %v, want %v", s.Records, want)
	}
	f.apply(contract.BucketAuthors, key(1), nil, now.Unix())
	f.apply(contract.BucketRecords, contract.RecordKey(target(3)), []byte("rubbish"), now.Unix())
	if s := f.count(now); s.Users.All != 7 || s.Users.Findable != 2 || s.Records[recordLost] != 0 {
		t.Errorf("after one was removed, and one cannot be read: %+v, %v", s.Users, s.Records)
	}
	if s := f.count(now.Add(3 * time.Hour)); s.Users.Findable != 0 {
		t.Errorf("%d users are findable, though nothing was refreshed for hours", s.Users.Findable)
	}
}

func TestRelaysAreProvedByTheirLastSync(t *testing.T) {
	now := time.Now().Unix()
	ok := contract.Sync{LastOK: now - aDay, Last: events.SyncFinished{OK: true, Missing: 9, Stored: 7, Refused: 2}}
	f := newFacts()
	for url, is := range map[string]struct {
		relay contract.Relay
		sync  *contract.Sync
	}{
		"wss://proved.example.com": {contract.Relay{ProbedAt: 1}, &ok},
		"wss://long.example.com":   {contract.Relay{ProbedAt: 1}, &contract.Sync{LastOK: now - 8*aDay}},
		"wss://failed.example.com": {
			contract.Relay{ProbedAt: 1, Failures: 1},
			&contract.Sync{LastOK: now - aDay, Failures: 1, Last: events.SyncFinished{Missing: 10, Stored: 4, Refused: 1}},
		},
		"wss://doubted.example.com": {contract.Relay{ProbedAt: 1}, &contract.Sync{LastOK: now - aDay, Doubt: &contract.Doubt{At: now - aDay}}},
		"wss://silent.example.com":  {contract.Relay{ProbedAt: 1, ProbeFailures: 1}, &ok},
		"wss://never.example.com":   {contract.Relay{ProbeFailures: 3}, nil},
		"wss://running.example.com": {
			contract.Relay{ProbedAt: 1},
			&contract.Sync{URL: "wss://running.example.com", Progress: &contract.SyncProgress{Begun: now - 60, Done: []string{"a"}, Of: 3}},
		},
		"wss://died.example.com": {contract.Relay{ProbedAt: 1}, &contract.Sync{Progress: &contract.SyncProgress{Begun: now - 2*aDay}}},
	} {
		is.relay.URL = url
		f.apply(contract.BucketRelays, nostr.RelayKey(url), nostr.Encode(is.relay), now)
		if is.sync != nil {
			f.apply(contract.BucketSyncs, nostr.RelayKey(url), nostr.Encode(is.sync), now)
		}
	}
	s := f.count(time.Unix(now, 0))
	if s.Proved != (Proved{Live: 6, Complete: 1, Failing: 1, Missing: 5}) {
		t.Errorf("proved are %+v", s.Proved)
	}
	if len(s.Syncs) != 1 || s.Syncs[0].URL != "wss://running.example.com" || s.Syncs[0].Done != 1 || s.Syncs[0].Of != 3 {
		t.Errorf("syncs that run are %+v", s.Syncs)
	}
	if want := map[string]int{healthOK: 5, healthFailing: 1, healthSilent: 2}; !maps.Equal(s.Relays, want) {
		t.Errorf("relays are %v, want %v", s.Relays, want)
	}
}

// What is counted step by step is what a new count of everything gives, also after keys were
// written again and removed, and buckets were read in several batches.
func TestCountsFollowWhatIsWritten(t *testing.T) {
	w := newWorld(t)
	if page := w.page("/"); !strings.Contains(page, `id="counting"`) {
		t.Error("the page does not say that it has not counted yet")
	}
	pubkey, _, recordTarget := w.known()
	w.console.counter.batch = 10
	for i := range 35 {
		w.put(contract.BucketAuthors, key(i), contract.Author{})
	}
	count := func() Summary {
		t.Helper()
		if err := w.console.counter.catchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, anew := w.console.counter.summary(), newCounter(w.console.js, countedBuckets())
		if err := anew.catchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		again := anew.summary()
		text := func(s Summary) string { return fmt.Sprint(s.Users, s.Records, s.Relays, s.Proved) }
		if a, b := text(s), text(again); a != b {
			t.Errorf("counted step by step %s, at once %s", a, b)
		}
		return s
	}
	s := count()
	if !s.Whole || s.Users.All != 36 || s.Users.Findable != 1 || s.Proved.Complete != 1 || s.Relays[healthResting] != 1 {
		t.Errorf("counted %+v", s)
	}
	page := w.page("/")
	for _, want := range []string{"<strong>1</strong> of 36 users", "proved with <strong>1</strong> of 1 live", "held by none"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	remove := func(bucket, key string) {
		t.Helper()
		store, err := w.JS.KeyValue(t.Context(), bucket)
		if err == nil {
			err = store.Purge(t.Context(), key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r := recordHeld(0, 0, time.Now().Unix())
	r.PubKey = pubkey
	w.put(contract.BucketRecords, contract.RecordKey(recordTarget), r)
	remove(contract.BucketAuthors, key(3))
	if s := count(); s.Users.All != 35 || s.Users.Findable != 0 || s.Records[recordLost] != 1 {
		t.Errorf("counted %+v", s)
	}
	if !strings.Contains(w.page("/"), `<div class="wrong"><dt><a href="/users?held=0">held by none`) {
		t.Error("a record that nobody holds is not shown as wrong")
	}
	remove(contract.BucketRecords, contract.RecordKey(recordTarget))
	if s := count(); len(s.Records) != 0 {
		t.Errorf("counted %+v", s.Records)
	}
}

func TestOnlyKeysThatCanBeAreCounted(t *testing.T) {
	f := newFacts()
	for _, bad := range []string{"", "x", key(1)[1:], strings.Repeat("z", 64), hex.EncodeToString(make([]byte, 33))} {
		f.apply(contract.BucketAuthors, bad, []byte("{}"), 1)
		f.apply(contract.BucketRecords, bad, []byte("{}"), 1)
	}
	if s := f.count(time.Now()); s.Users.All != 0 || len(s.Records) != 0 {
		t.Errorf("counted %+v", s)
	}
}

// With 100,000 users and 10,000 relays the first page is small, and made from the counts alone.
func TestTheFirstPageIsSmallHoweverMuchIsStored(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	f := newFacts()
	for i := range 100_000 {
		f.authors[[32]byte{byte(i), byte(i >> 8), byte(i >> 16)}] = listsKnown(i % 8) //nolint:gosec // a part of it is meant
		f.records[[20]byte{byte(i), byte(i >> 8), byte(i >> 16)}] = recordFacts{
			author: [32]byte{byte(i), byte(i >> 8), byte(i >> 16)}, //nolint:gosec // as above
			due:    now.Unix() + 60, held: uint8(i % 13), asked: true, lasting: true,
		}
	}
	for i := range 10_000 {
		url := fmt.Sprintf("wss://relay-%d.example.com/%s", i, strings.Repeat("x", 100))
		f.relays[nostr.RelayKey(url)] = relayFacts{url: url, answered: true, is: contract.Relay{Failures: i % 2}}
		f.syncs[nostr.RelayKey(url)] = syncFacts{url: url, progress: &RunningSync{URL: url, Begun: now.Unix(), Done: 1, Of: 9}}
	}
	begun := time.Now()
	summary := f.count(now)
	w.console.counter.last.Store(&summary)
	counted := time.Since(begun)
	w.page("/")
	reading := w.console.feed.last()
	rate := 1234.5678901
	for i := range reading.Stages {
		reading.Stages[i].Rate, reading.Stages[i].Lag = &rate, 123456
	}
	for len(w.console.feed.readings) < kept {
		w.console.feed.readings = append(w.console.feed.readings, reading)
	}
	begun = time.Now()
	page := w.page("/")
	t.Logf("counted in %s, shown in %s, %d bytes", counted, time.Since(begun), len(page))
	if len(page) > 60<<10 {
		t.Errorf("the first page has %d bytes", len(page))
	}
	if !strings.Contains(page, "of 100\u2009000 users") {
		t.Error("it is not of all users")
	}
}
