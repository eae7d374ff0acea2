package run

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// mended is within what time after a relay answers again everything must go on.
const mended = 5 * time.Second

// relayProcess is a relay in a process of its own, with its events on disk.
type relayProcess struct {
	name, addr, path string
	cmd              *exec.Cmd
}

// Environment of the process that a relay runs in: see TestMain.
const envRelayAddr, envRelayPath = "RELAYMESH_TEST_RELAY_ADDR", "RELAYMESH_TEST_RELAY_PATH"

// serveRelay is main of that process.
func serveRelay() {
	r, err := homerelay.Start(context.Background(), homerelay.Config{
		Addr: os.Getenv(envRelayAddr), Path: os.Getenv(envRelayPath), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = os.Stdin.Read(make([]byte, 1)) // it ends with the test, at the latest
	r.Close()
}

func newRelayProcess(t *testing.T, name string) *relayProcess {
	t.Helper()
	p := &relayProcess{name: name, addr: loopback.Addr(), path: filepath.Join(t.TempDir(), "relay.db")}
	p.start(t)
	t.Cleanup(p.kill)
	return p
}

func (p *relayProcess) url() string { return "ws://" + p.addr }

// start returns when the relay answers.
func (p *relayProcess) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.CommandContext(t.Context(), os.Args[0])
	p.cmd.Env = append(os.Environ(), envRelayAddr+"="+p.addr, envRelayPath+"="+p.path)
	p.cmd.Stderr = os.Stderr
	if _, err := p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, func() bool {
		c, err := relay.Dial(t.Context(), p.url(), relay.Options{AllowPrivate: true})
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (p *relayProcess) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed
}

// until asks until something holds.
func until(t *testing.T, most time.Duration, holds func() bool) bool {
	t.Helper()
	for end := time.Now().Add(most); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) || t.Context().Err() != nil {
			return false
		}
	}
	return true
}

// outages is a pipeline beside the local relay, with a mirror that a stream names in
// both directions and a relay where alice writes, which is followed live. No schedule
// helps it.
type outages struct {
	*testing.T
	local, mirror, followed *relayProcess
	alice                   *schnorr.SecretKey
	log                     bytes.Buffer
	logMu                   sync.Mutex
	authors                 func(pubkey string) bool // whether ingest has heard of an author
}

func (o *outages) Write(line []byte) (int, error) {
	o.logMu.Lock()
	defer o.logMu.Unlock()
	return o.log.Write(line)
}

// warnings counts what the log says of a relay at level WARN.
func (o *outages) warnings(words string, of *relayProcess) (n int) {
	o.logMu.Lock()
	defer o.logMu.Unlock()
	for line := range strings.Lines(o.log.String()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, words) && strings.Contains(line, of.addr) {
			n++
		}
	}
	return n
}

func startOutages(t *testing.T) *outages {
	o := &outages{T: t}
	var err error
	if o.alice, err = schnorr.NewSecret(); err != nil {
		t.Fatal(err)
	}
	o.local, o.mirror, o.followed = newRelayProcess(t, "local"), newRelayProcess(t, "mirror"), newRelayProcess(t, "followed")
	file := filepath.Join(t.TempDir(), "relaymesh.yaml")
	if err := os.WriteFile(file, []byte("streams:\n  mirror:\n    dir: both\n    urls: ["+o.mirror.url()+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list := o.sign(nostr.Event{Kind: 10002, Tags: []nostr.Tag{{"r", o.followed.url()}}})
	hometest.Publish(t, o.local.url(), list)
	js := natstest.Start(t)
	authors, err := OpenStore[contract.Author](t.Context(), js, contract.BucketAuthors, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.authors = func(pubkey string) bool {
		_, found, err := authors.Get(t.Context(), pubkey)
		return found && err == nil
	}
	ctx, stop := context.WithCancel(t.Context())
	ended, log := make(chan error, 1), slog.New(slog.NewTextHandler(o, &slog.HandlerOptions{Level: slog.LevelDebug}))
	go func() {
		ended <- Run(ctx, config.Config{
			File: file, Relay: o.local.url(), AllowPrivate: true, Drain: 5 * time.Second, SyncEvery: 24 * time.Hour, ResolveEvery: time.Hour,
			Sync: config.Syncing{Live: 10}, Policy: config.Policy{MissingPerMinute: 100},
		}, js, log, []string{contract.StageIngest, contract.StageSyncWorker}, func() {})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(o.log.String())
		}
	})
	o.arrive(time.Minute, map[string]func() bool{
		"what the mirror receives":         o.goes(o.mirror, o.local),
		"what the local relay receives":    o.holds(o.mirror, list),
		"what the followed relay receives": o.goes(o.followed, o.local),
		"what ingest hears":                o.heard(),
	})
	return o
}

func (o *outages) sign(e nostr.Event) nostr.Event {
	e.CreatedAt = time.Now().Unix()
	if err := o.alice.SignEvent(&e); err != nil {
		o.Fatal(err)
	}
	return e
}

func (o *outages) note(at *relayProcess) nostr.Event {
	e := o.sign(nostr.Event{Kind: 1, Content: fmt.Sprint(at.name, " ", rand.Int64())})
	hometest.Publish(o, at.url(), e)
	return e
}

// holds reports whether a relay has an event.
func (o *outages) holds(at *relayProcess, e nostr.Event) func() bool {
	return func() bool {
		c, err := relay.Dial(o.Context(), at.url(), relay.Options{AllowPrivate: true})
		if err != nil {
			return false
		}
		defer c.Close()
		for got, err := range c.Query(o.Context(), nostr.Filter{IDs: []string{e.ID}}) {
			return err == nil && got.ID == e.ID
		}
		return false
	}
}

// goes publishes at one relay, and reports whether that has come to another.
func (o *outages) goes(from, to *relayProcess) func() bool { return o.holds(to, o.note(from)) }

// heard publishes what is by a new author at the local relay, and reports whether
// ingest knows of them.
func (o *outages) heard() func() bool {
	key, err := schnorr.NewSecret()
	if err != nil {
		o.Fatal(err)
	}
	e := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix()}
	if err := key.SignEvent(&e); err != nil {
		o.Fatal(err)
	}
	hometest.Publish(o, o.local.url(), e)
	return func() bool { return o.authors(e.PubKey) }
}

// arrive waits for each, and returns how long the last one took.
func (o *outages) arrive(most time.Duration, all map[string]func() bool) time.Duration {
	begun := time.Now()
	var waiting sync.WaitGroup
	for what, there := range all {
		waiting.Go(func() {
			if !until(o.T, most, there) {
				o.Errorf("%s has not arrived after %s", what, most)
			}
		})
	}
	waiting.Wait()
	return time.Since(begun)
}

// outage has a relay be away for a while, and returns how long after that it takes
// until all goes on.
func (o *outages) outage(of *relayProcess, lasts time.Duration) time.Duration {
	away, back := o.warnings("relay is away", of), o.warnings("relay is back", of)
	of.kill()
	cut := time.Now()
	waits := map[string]func() bool{}
	switch of {
	case o.local:
		waits["what the mirror had meanwhile"] = o.holds(o.local, o.note(o.mirror))
		waits["what the followed relay had meanwhile"] = o.holds(o.local, o.note(o.followed))
	case o.mirror:
		waits["what the local relay had meanwhile"] = o.holds(o.mirror, o.note(o.local))
	}
	time.Sleep(lasts - time.Since(cut)) // the outage itself
	of.start(o.T)
	begun := time.Now()
	switch of {
	case o.local:
		waits["what ingest hears"] = o.heard()
	case o.mirror, o.followed:
		waits["what it receives"] = o.goes(of, o.local)
	}
	o.arrive(time.Minute, waits)
	took := time.Since(begun)
	// A relay that nobody has named is not told of, and a short cut is no absence.
	a, b := o.warnings("relay is away", of)-away, o.warnings("relay is back", of)-back
	if most := map[bool]int{true: 0, false: 1}[of == o.followed]; a != b || a > most || lasts >= 5*time.Second && a < most {
		o.Errorf("%s: %d warnings that it is away and %d that it is back, want %d each", of.name, a, b, most)
	}
	return took
}

// Relays that are away for some time are gone on with within five seconds after
// they answer again, whichever they are: those that the operator names, that are
// followed, or the local one. make test-outages has 20 outages of 5 to 60 seconds, and
// looks at the time.
func TestARelayThatIsBackIsGoneOnWith(t *testing.T) {
	t.Parallel()
	o := startOutages(t)
	n, _ := strconv.Atoi(os.Getenv("RELAYMESH_OUTAGES"))
	if n == 0 { // the machine may be busy: no time is looked at
		o.outage(o.mirror, time.Second)
		return
	}
	took := map[string][]time.Duration{}
	for i := range n {
		time.Sleep(rand.N(5 * time.Second)) // a moment of its own
		of := []*relayProcess{o.mirror, o.followed, o.local}[i%3]
		lasts := 5*time.Second + rand.N(55*time.Second)
		after := o.outage(of, lasts)
		if after > mended {
			t.Errorf("%s was away for %s, and %s later not all goes on", of.name, lasts, mended)
		}
		took[of.name] = append(took[of.name], after)
		t.Logf("%s was away for %s, all goes on after %s", of.name, lasts.Round(time.Second/10), after.Round(time.Millisecond))
	}
	for name, list := range took {
		slices.Sort(list)
		t.Logf("%s: %d outages, median %s, longest %s", name, len(list), list[len(list)/2], list[len(list)-1])
	}
}
