package console

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// process writes what a process tells of itself.
func (w *world) process(key string, is contract.Worker) {
	w.Helper()
	is.Version, is.Started, is.At = "1.2.3", time.Now().Unix()-7200, time.Now().Unix()
	w.put(contract.BucketWorkers, key, is)
	w.console.feed.mu.Lock()
	w.console.feed.readings = nil // or it is a second old
	w.console.feed.mu.Unlock()
}

// What runs beside the stages has a row only where it runs, with its figures over all
// processes, and each figure leads to the list behind it.
func TestWhatRunsBesideTheStagesHasARow(t *testing.T) {
	w := newWorld(t)
	w.process("all.1", contract.Worker{Stages: contract.Stages(), Conditions: []contract.Condition{{Name: "DHT"}}})
	page := w.page("/")
	for _, id := range []string{partTail, partGateway, partIndex} {
		if strings.Contains(page, `id="`+id+`"`) {
			t.Errorf("%s runs nowhere, and has a row", id)
		}
	}
	w.process("all.1", contract.Worker{
		Stages:     contract.Stages(),
		Conditions: []contract.Condition{{Name: "tail of ws://home:7777"}, {Name: "gateway"}, {Name: "list index"}},
		Gateway:    &contract.Gateway{Relay: "ws://home:7777", Connections: 3, Watched: 1000, Completed: 20, Vain: 5},
		Index:      &contract.Index{URL: "wss://index.example.com", Events: 4000, Bytes: 5 << 20, Pulled: 300, Announced: 70},
		Indexes: &contract.Indexes{
			Standings: map[string]int{standingProven: 2, standingSilent: 1, standingLied: 1, "a word of a later version": 1},
			Best: []contract.KnownIndex{
				{URL: "wss://best.example.com", Standing: standingProven, Via: "dht", Delivered: 12, Missed: 1, Verified: time.Now().Unix() - 60},
				{URL: "wss://liar.example.com", Standing: standingLied, Via: hostile, Failures: 2, NextTry: time.Now().Unix() + 3600},
			},
		},
	})
	w.process("gateway.2", contract.Worker{
		Stages: []string{partGateway}, Conditions: []contract.Condition{{Name: "gateway", Wrong: "connection refused", Do: "start it"}},
		Gateway: &contract.Gateway{Relay: hostile, Connections: 4, Watched: 234, Completed: 1, Vain: 2},
	})
	page = w.page("/")
	for _, want := range []string{
		`<a href="/processes?runs=gateway">connections</a></dt><dd>7`, ">REQs watched</a></dt><dd>1\u2009234", ">events completed</a></dt><dd>21",
		">REQs that waited in vain</a></dt><dd>7", "ws://home:7777", "connection refused",
		`<a href="/processes?runs=tail">relays that are read</a></dt><dd>1`, ">events kept here</a></dt><dd>4\u2009000",
		`<a href="/indexes?standing=proven">known, proven</a></dt><dd>2`, `<a href="/indexes?standing=lied">known, lied</a></dt><dd>1`,
		"&lt;script&gt;",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	v := ask[processesView](w, "/processes?runs=gateway")
	if len(v.Processes) != 2 || v.Processes[0].Gateway.Connections != 4 || len(v.Processes[0].Wrong()) != 1 {
		t.Errorf("gateways are %+v, those with a fault first", v.Processes)
	}
	if v := ask[processesView](w, "/processes?runs=tail"); len(v.Processes) != 1 || v.Processes[0].Index == nil {
		t.Errorf("tails are %+v", v.Processes)
	}
	if page := w.page("/processes"); !strings.Contains(page, "gateway 2") || !strings.Contains(page, "4000 events in 5 MiB") ||
		strings.Contains(page, "<script>alert") {
		t.Errorf("processes are %s", page)
	}
	known := ask[indexesView](w, "/indexes?sort=-delivered")
	if len(known.Indexes) != 2 || known.Indexes[0].Delivered != 12 || known.More != 3 || len(known.Standings) != 3 {
		t.Errorf("indexes are %+v", known)
	}
	if lied := ask[indexesView](w, "/indexes?standing=lied"); len(lied.Indexes) != 1 || lied.Indexes[0].URL != "wss://liar.example.com" {
		t.Errorf("liars are %+v", lied)
	}
	if page := w.page("/indexes"); !strings.Contains(page, "2 times; asked again in 59 min") || strings.Contains(page, "<script>alert") {
		t.Errorf("indexes are %s", page)
	}
	for _, path := range []string{"/processes?runs=x", "/indexes?standing=x", "/indexes?sort=x"} {
		if rec := w.do(http.MethodGet, path, ""); rec.Code != http.StatusBadRequest {
			t.Errorf("%s is answered %d", path, rec.Code)
		}
	}
}

// Gateways without stages count in the row and stand in the list. Users whom strangers reach write that, so it says
// nothing of stages, versions and clocks, and what to do is the console's own advice.
func TestGatewaysOfTheirOwnHaveARow(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Unix()
	of := func(relay string, n int64) contract.Gateway {
		return contract.Gateway{Relay: relay, Connections: n, Messages: 100 * n, Watched: 10 * n, Completed: n, Vain: 1, Waits: 2, WaitMS: 50 * n}
	}
	inside := of("ws://home:7777", 1)
	w.process("all.1", contract.Worker{Stages: contract.Stages(), Gateway: &inside, Conditions: []contract.Condition{{Name: "gateway"}}})
	for i, g := range []contract.GatewayProcess{
		{Gateway: of("ws://home:7777", 2), Version: "1.2.3", Host: "gateway-0", Started: now - 60, At: now},
		{Gateway: of(hostile, 4), Version: hostile, Host: hostile, Started: now + 1<<40, At: now + 1<<40, Wrong: hostile},
		{Gateway: contract.Gateway{Connections: -1 << 62, Watched: -5}},
	} {
		w.put(contract.BucketGateways, strconv.Itoa(i), g)
	}
	w.put(contract.BucketGateways, "rubbish", "rubbish")
	w.console.feed.readings = nil
	page := w.page("/")
	for _, want := range []string{
		">connections</a></dt><dd>7", ">messages</a></dt><dd>700", ">REQs watched</a></dt><dd>70", ">events completed</a></dt><dd>7",
		">REQs that waited in vain</a></dt><dd>3", ">ms that an EOSE waited</a></dt><dd>58", "1 thing is wrong",
		"see whether the relay behind it runs",
		"4 processes", "version 1.2.3, ", "&lt;script&gt;",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "<script>alert") {
		t.Error("a gateway writes a script into the page")
	}
	v := ask[processesView](w, "/processes?runs=gateway")
	if len(v.Processes) != 4 || v.Processes[0].Wrong() == nil {
		t.Errorf("gateways are %+v", v.Processes)
	}
	if v := ask[processesView](w, "/processes?runs=ingest"); len(v.Processes) != 1 || v.Processes[0].Gateway.Connections != 1 {
		t.Errorf("of ingest there are %+v", v.Processes)
	}
	if list := w.page("/processes"); !strings.Contains(list, "gateway before ws://home:7777: 2 connections, 200 messages, 20 REQs watched") ||
		strings.Contains(list, "<script>alert") {
		t.Errorf("the list is %s", list)
	}
}

// A sync that runs is told of with its figures by the process that works on it; what KV alone knows
// stands beside it. The same goes for passes of the survey.
func TestRunningSyncsTellHowFarTheyAre(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Unix()
	w.put(contract.BucketSurveys, "0", contract.Survey{Authors: 5, Passed: now - 600})
	for _, url := range []string{goodURL, badURL} {
		w.put(contract.BucketSyncs, nostr.RelayKey(url),
			contract.Sync{URL: url, Progress: &contract.SyncProgress{Begun: now - 90, Done: []string{"a"}, Of: 4}})
	}
	if err := w.console.counter.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.process("syncworker.1", contract.Worker{
		Stages: []string{contract.StageSyncWorker},
		Syncs: []RunningSync{{
			URL: goodURL, Begun: now - 95, Done: 2, Of: 4, Missing: 1204, Stored: 1100, Sent: 3, Left: 2, Passes: 1, Windows: 3, Messages: 35,
			Bytes: 120 << 10,
		}},
		Passes: []contract.RunningPass{{Slice: "0", Begun: now - 120, Looked: 17, Of: 40}},
	})
	page := w.page("/")
	for _, want := range []string{
		"2 of 4 parts, pass 2: 1204 missing, 1100 stored, 3 sent, 2 left; 3 spans of time; 35 messages, 120 KiB, begun 1 min ago",
		"1 of 4 parts, begun 1 min ago", "17 of 40 relays, begun 2 min ago",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	w.put(contract.BucketRelays, nostr.RelayKey(goodURL), contract.Relay{URL: goodURL})
	if err := w.console.counter.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := ask[Mesh](w, "/mesh"); len(m.Nodes) != 1 || !m.Nodes[0].Moving {
		t.Errorf("the mesh has %+v", m.Nodes)
	}
	v := ask[struct{ Summary Summary }](w, "/").Summary
	if len(v.Syncs) != 2 || v.Running != 2 || v.Syncs[0].Missing != 1204 || v.Syncs[1].URL != badURL || len(v.Passes) != 1 || v.Passing != 1 {
		t.Errorf("under way are %+v, %+v", v.Syncs, v.Passes)
	}
}
