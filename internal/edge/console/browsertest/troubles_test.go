package browsertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/console"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	userCount  = 12 // of whom three have no record
	relayCount = 8  // that all are live
)

// known is a pipeline whose answers are known: what stages would have written is written to KV.
type known struct {
	*testing.T

	world *natstest.World
	now   int64

	mu      sync.Mutex
	workers map[string]contract.Worker
}

func (k *known) put(bucket, key string, value any) {
	k.Helper()
	store, err := k.world.JS.KeyValue(k.Context(), bucket)
	if err == nil {
		_, err = store.Put(k.Context(), key, nostr.Encode(value))
	}
	if err != nil {
		k.Fatal(err)
	}
}

func (k *known) send(subject string, value any) {
	k.Helper()
	if _, err := k.world.JS.Publish(k.Context(), subject, nostr.Encode(value)); err != nil {
		k.Fatal(err)
	}
}

func userKey(i int) string { return fmt.Sprintf("%064x", i) }

func relayURL(i int) string { return fmt.Sprintf("wss://relay-%d.example.com", i) }

// worker is a process of a stage as it tells of itself, but for a change; At is by how many seconds
// its clock is ahead.
func (k *known) worker(stage string, change func(*contract.Worker)) {
	w := contract.Worker{
		Stages: []string{stage}, Version: "1.2.3", Host: "host", Started: k.now - 7200,
		Conditions: []contract.Condition{{Name: "store of NATS"}, {Name: "DHT"}, {Name: "embedded relay"}, {Name: "tail of ws://127.0.0.1:7777"}},
	}
	if change != nil {
		change(&w)
	}
	k.mu.Lock()
	k.workers[stage] = w
	k.mu.Unlock()
	if err := k.tell(); err != nil {
		k.Fatal(err)
	}
}

// tell has all processes tell of themselves now, as real ones do every ten seconds: what is a minute
// old is forgotten.
func (k *known) tell() error {
	store, err := k.world.JS.KeyValue(k.Context(), contract.BucketWorkers)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for stage, w := range k.workers {
		w.At += time.Now().Unix()
		if _, err := store.Put(k.Context(), stage+".1", nostr.Encode(w)); err != nil {
			return err
		}
	}
	return nil
}

// goOn lets the processes tell of themselves until the test ends.
func (k *known) goOn() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	k.Cleanup(func() { stop(); <-ended })
	go func() {
		defer close(ended)
		tick := time.NewTicker(contract.WorkerEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = k.tell() // NATS may be gone
			}
		}
	}()
}

// wrong has a process lack what a condition names.
func (k *known) wrong(stage, condition, why string) {
	k.worker(stage, func(w *contract.Worker) {
		i := slices.IndexFunc(w.Conditions, func(c contract.Condition) bool { return c.Name == condition })
		w.Conditions[i].Wrong, w.Conditions[i].Do = why, "do something about it"
	})
}

func (k *known) record(i, held int) {
	target := fmt.Sprintf("%040x", i)
	k.put(contract.BucketRecords, contract.RecordKey(target), contract.Record{
		PubKey: userKey(i), Nodes: make([]byte, 12*26), Held: held, VerifiedAt: k.now - 60, NextDue: k.now + 600,
	})
	k.put(contract.BucketAuthors, userKey(i), contract.Author{LastSeen: k.now, Records: map[string]int64{target: k.now}})
}

func (k *known) sync(i int, change func(*contract.Relay, *contract.Sync)) {
	url := relayURL(i)
	r := contract.Relay{URL: url, ProbedAt: k.now - 60, Answered: k.now - 60}
	s := contract.Sync{URL: url, LastOK: k.now - 60, LastTry: k.now - 60, Stored: 10 * i, Last: events.SyncFinished{URL: url, OK: true}}
	if change != nil {
		change(&r, &s)
	}
	k.put(contract.BucketRelays, nostr.RelayKey(url), r)
	k.put(contract.BucketSyncs, nostr.RelayKey(url), s)
}

// empty is a pipeline that runs and knows nobody.
func empty(t *testing.T) *known {
	t.Helper()
	k := &known{T: t, world: natstest.NewWorld(t), now: time.Now().Unix(), workers: map[string]contract.Worker{}}
	for _, stage := range contract.Stages() {
		k.worker(stage, nil)
	}
	return k
}

// healthy fills a pipeline in which nothing is wrong.
func healthy(t *testing.T) *known {
	t.Helper()
	k := empty(t)
	for i := range userCount {
		if i < 9 {
			k.record(i, 8+i%5)
		} else {
			k.put(contract.BucketAuthors, userKey(i), contract.Author{LastSeen: k.now})
		}
	}
	for i := range relayCount {
		k.sync(i, nil)
	}
	k.put(contract.BucketSurveys, "0", contract.Survey{Authors: 5, Passed: k.now - 600})
	k.put(contract.BucketSurveys, "1", contract.Survey{Authors: 7, Passed: k.now - 3000})
	k.send(contract.SurveyDueSubject("1"), contract.SurveyDue{Slice: "1"})
	return k
}

// serve runs a console over the pipeline, until the test ends.
func (k *known) serve() (url string) {
	k.Helper()
	js := natstest.ConnectAs(k.T, k.world.Server, contract.RoleConsole, contract.RoleConsole,
		nats.CustomInboxPrefix(contract.InboxPrefix(contract.RoleConsole)))
	pages := console.New(js, console.Options{})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- pages.Run(ctx) }()
	server := httptest.NewServer(pages)
	k.Cleanup(func() {
		stop()
		server.CloseClientConnections()
		server.Close()
		<-ended
	})
	k.goOn()
	k.waitCounted(js)
	return server.URL
}

// waitCounted waits until the console has counted all there is, which it then writes down.
func (k *known) waitCounted(js jetstream.JetStream) {
	k.Helper()
	if err := until(k.Context(), func() error {
		stream, err := js.Stream(k.Context(), "KV_"+contract.BucketHistory)
		if err == nil && stream.CachedInfo().State.Msgs == 0 {
			err = errors.New("no figures are kept")
		}
		return err
	}); err != nil {
		k.Fatal(err)
	}
}

// The first page answers whether all is well, who is findable and with whom the relay is complete,
// where that is known: in a healthy world, and in ten kinds of trouble, of which it tells each alone.
func TestTheFirstPageAnswersInEveryTrouble(t *testing.T) {
	for _, trouble := range []struct {
		name, found string // the names of what is wrong, "" if nothing is
		says        string
		make        func(k *known)
		findable    int
		complete    int
	}{
		{"healthy", "", "All is well", func(*known) {}, 9, relayCount},
		{"disk full", "store of NATS", "no space left", func(k *known) { k.wrong("ingest", "store of NATS", "no space left") }, 9, relayCount},
		{"DHT alone", "DHT", "no node answers", func(k *known) { k.wrong("dhtworker", "DHT", "no node answers") }, 9, relayCount},
		{"relay gone", "tail of ws://127.0.0.1:7777", "connection refused", func(k *known) {
			k.wrong("ingest", "tail of ws://127.0.0.1:7777", "connection refused")
		}, 9, relayCount},
		{"syncs failing", "syncs", "3 of 8 live relays failed", func(k *known) {
			for i := range 3 {
				k.sync(i, func(r *contract.Relay, s *contract.Sync) { r.Failures, r.Fault, s.Failures = 1, "it hangs", 1 })
			}
		}, 9, relayCount - 3},
		{"survey behind", "survey", "1 of 2 slices", func(k *known) {
			k.put(contract.BucketSurveys, "1", contract.Survey{Authors: 7, Passed: k.now - 7*3600})
		}, 9, relayCount},
		{"record lost", "records", "1 are held by no node", func(k *known) { k.record(4, 0) }, 8, relayCount},
		{"dead letters", "dead letters", "1 messages were given up", func(k *known) {
			k.send(contract.DLQSubject(contract.StageFetcher), contract.DeadLetter{
				Stage: contract.StageFetcher, Subject: contract.NoteMissingSubject(userKey(1)), Reason: "no", Time: k.now,
			})
		}, 9, relayCount},
		{"clock off", "clocks", "differ by 9", func(k *known) { k.worker("fetcher", func(w *contract.Worker) { w.At += 95 }) }, 9, relayCount},
		{"version old", "versions", "1.1.0; 1.2.3", func(k *known) {
			k.worker("syncworker", func(w *contract.Worker) { w.Version = "1.1.0" })
		}, 9, relayCount},
		{"another relay gone", "", "All is well", func(k *known) {
			k.sync(2, func(r *contract.Relay, _ *contract.Sync) { r.ProbeFailures = 3 })
		}, 9, relayCount - 1},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			t.Parallel()
			k := healthy(t)
			trouble.make(k)
			p := open(t, k.serve()+"/", how{})
			p.wait("document.getElementById('asof').textContent === 'live'") // the first page that comes live says the same
			p.says(trouble.found, trouble.says)
			p.answers(trouble.findable, trouble.complete)
		})
	}
}

// says fails unless the first page tells of what is wrong, and of nothing else.
func (p *page) says(wrong, says string) {
	p.Helper()
	if got := eval[string](p, "[...document.querySelectorAll('.wrongs dt')].map(e => e.textContent).join(' | ')"); got != wrong {
		p.Errorf("wrong are %q, want %q", got, wrong)
	}
	if got := eval[string](p, "document.getElementById('health').innerText"); !strings.Contains(got, says) {
		p.Errorf("health does not say %q: %s", says, got)
	}
	edge := eval[string](p, "getComputedStyle(document.getElementById('health')).borderLeftColor")
	if want := map[bool]string{true: "rgb(46, 158, 79)", false: "rgb(214, 48, 46)"}[wrong == ""]; edge != want {
		p.Errorf("the edge of health is %s, want %s", edge, want)
	}
}

// answers fails unless the first page says how many users can be found, and with how many relays the
// local one was proved complete.
func (p *page) answers(findable, complete int) {
	p.Helper()
	for id, want := range map[string]string{
		"findable": fmt.Sprintf("%d of %d users", findable, userCount), "complete": fmt.Sprintf("proved with %d of ", complete),
	} {
		if got := eval[string](p, "document.querySelector('#"+id+" .answer').textContent"); !strings.Contains(got, want) {
			p.Errorf("%s says %q, want %q", id, got, want)
		}
	}
	const none = "[...document.querySelectorAll('#findable .wrong')]" +
		".map(e => e.children[0].textContent + ' ' + getComputedStyle(e.children[1]).color)"
	want := map[bool]string{true: "held by none rgb(179, 32, 31) | lost rgb(179, 32, 31)"}[findable < 9]
	if red := eval[string](p, none+".join(' | ')"); red != want {
		p.Errorf("red are %q, want %q", red, want)
	}
}

// NATS that goes away is told on the page that is open.
func TestTheFirstPageTellsThatNATSIsGone(t *testing.T) {
	t.Parallel()
	k := healthy(t)
	url := k.serve()
	p := open(t, url+"/", how{})
	p.wait("document.querySelector('#health h2').textContent === 'All is well'")
	k.world.JS.Conn().Close()
	k.world.Server.Close()
	p.wait("document.querySelector('.wrongs dt')?.textContent === 'NATS'")
	p.says("NATS", "start the server")
	p.answers(9, relayCount) // of before
	resp, err := http.Get(url + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("without NATS the page is answered %d", resp.StatusCode)
	}
}

// Lists and the mesh show what is new without being loaded again.
func TestListsAndTheMeshComeLive(t *testing.T) {
	t.Parallel()
	k := healthy(t)
	url := k.serve()
	mesh, relays := open(t, url+"/mesh", how{}), open(t, url+"/relays?sort=-stored", how{})
	for _, p := range []*page{mesh, relays} {
		eval[bool](p, "window.theSamePage = true")
	}
	k.sync(relayCount, nil)
	const name = "relay-8.example.com"
	mesh.wait("document.querySelector('svg.mesh').textContent.includes('" + name + "')")
	relays.wait("document.querySelector('tbody tr th a').textContent.includes('" + name + "')")
	for _, p := range []*page{mesh, relays} {
		if !eval[bool](p, "window.theSamePage === true") {
			t.Error("the page was loaded again")
		}
	}
}

// The mesh moves where something comes, but not for those who want no motion, and needs no JavaScript.
func TestTheMeshMoves(t *testing.T) {
	t.Parallel()
	k := healthy(t)
	k.sync(3, func(_ *contract.Relay, s *contract.Sync) { s.Live = k.now })
	url := k.serve()
	const moving = "[...document.querySelectorAll('.mesh path')].filter(e => getComputedStyle(e).animationName === 'flow').length"
	for h, want := range map[how]int{{}: 1, {still: true}: 0, {noScript: true}: 1} {
		p := open(t, url+"/mesh", h)
		if h.noScript {
			if !strings.Contains(p.visible(), "relay-3.example.com") {
				t.Errorf("without JavaScript the mesh is %s", p.visible())
			}
			continue
		}
		if got := eval[int](p, moving); got != want {
			t.Errorf("%d lines move, want %d (%+v)", got, want, h)
		}
		if drawn := eval[int](p, "document.querySelectorAll('.mesh a circle').length"); drawn != relayCount {
			t.Errorf("%d relays are drawn", drawn)
		}
	}
}
