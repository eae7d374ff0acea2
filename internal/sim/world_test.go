package sim_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/internal/stage/fetch"
	"github.com/relaymesh/relaymesh/internal/stage/ingest"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestMain(m *testing.M) { natstest.Main(m) }

const (
	resolveEvery = 6 * time.Hour
	syncEvery    = 15 * time.Minute
	lostFor      = time.Hour

	home = "wss://home.example.com"

	dagRoot = "bafireief6qeuk2lob7w7fa3adzr2z2z5zp7nodt5bmuwb2uj2lrlevqw7u"
)

// world is a provisioned server in fake time, the DHT and the relays around
// it, and any number of workers.
type world struct {
	*natstest.World

	log    *slog.Logger
	dht    *network
	relays *relays

	refreshEvery, syncEvery time.Duration
	maxLive                 int // live subscriptions of each syncworker
	mentions                bool
	ruled                   map[string][]syncing.Rule  // by relay
	denied                  *deny.Lists                // nil: nothing
	lists                   *indexes                   // nil: there are none
	survey                  func(context.Context) bool // whether there is one; nil: there is not

	other *otherwise
}

// otherwise is how a worker is started if not as usual.
type otherwise struct {
	connect func(stage string) jetstream.JetStream
	wrap    func(contract.Handler) contract.Handler
	failed  func(error)
}

// failed ends the test, unless somebody waits for this failure.
func (w *world) failed(err error) {
	w.Helper()
	if w.other == nil {
		w.Fatal(err)
	}
	w.other.failed(err)
}

func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
}

// newWorld is for inside of a bubble; the server knows more users, if there are
// any.
func newWorld(t *testing.T, more ...*server.User) *world {
	t.Helper()
	return newWorldOn(natstest.NewWorld(t, more...))
}

// newWorldOn is a world on a server, which may come later.
func newWorldOn(server *natstest.World) *world {
	return &world{
		World: server, dht: newNetwork(), relays: newRelays(), refreshEvery: time.Hour, syncEvery: syncEvery,
		log: slog.New(slog.NewTextHandler(server.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	}
}

// Restart is that of the server, which is provisioned again. The workers must
// have been stopped before.
func (w *world) Restart(after time.Duration) {
	w.Helper()
	w.World.Restart(after)
	if _, err := bus.Provision(context.Background(), w.JS, bus.ProvisionOptions{}); err != nil {
		w.Fatal(err)
	}
}

// schedule sets the refresh schedules, as every start does.
func (w *world) schedule() {
	w.Helper()
	if _, err := bus.Provision(w.Context(), w.JS, bus.ProvisionOptions{RefreshEvery: w.refreshEvery}); err != nil {
		w.Fatal(err)
	}
}

// scheduleOnly sets those of the slices that hold the targets: a day of all of
// them takes too long for a test.
func (w *world) scheduleOnly(targets ...string) {
	w.Helper()
	all, err := contract.RecordSchedules(w.refreshEvery)
	if err != nil {
		w.Fatal(err)
	}
	b, err := bus.New(w.JS, bus.Options{Stage: "test"})
	if err != nil {
		w.Fatal(err)
	}
	for _, s := range all {
		if slices.ContainsFunc(targets, func(target string) bool { return s.Subject == contract.RecordDueSubject(contract.Slice(target)) }) {
			if err := b.Publish(w.Context(), s); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// store opens a bucket as the port of a stage.
func store[T any](w *world, name string) stage.Store[T] {
	w.Helper()
	s, err := run.OpenStore[T](context.Background(), w.JS, name, w.log)
	if err != nil {
		w.failed(err)
	}
	return s
}

// refused opens the bucket of refusals.
func (w *world) refused() run.Store[contract.Refused] {
	w.Helper()
	s, err := run.OpenStore[contract.Refused](context.Background(), w.JS, contract.BucketRefused, w.log)
	if err != nil {
		w.failed(err)
	}
	return s
}

// get reads a value that must be there.
func get[T any](w *world, bucket, key string) T {
	w.Helper()
	v, found, err := store[T](w, bucket).Get(context.Background(), key)
	if err != nil || !found {
		w.Fatalf("bucket %s has no %s (%v)", bucket, key, err)
	}
	return v
}

// put writes a value.
func put[T any](w *world, bucket, key string, v T) {
	w.Helper()
	_, err := store[T](w, bucket).Update(context.Background(), key, func(T, bool) (T, bool) { return v, true })
	if err != nil {
		w.Fatal(err)
	}
}

// keys lists the keys of a bucket that match.
func keys[T any](w *world, bucket, pattern string) (list []string) {
	w.Helper()
	err := store[T](w, bucket).Each(context.Background(), pattern, func(key string, _ T) error {
		list = append(list, key)
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// worker is one running stage with a connection of its own.
type worker struct {
	js   jetstream.JetStream
	stop context.CancelFunc
	done chan error
}

// die ends a worker whose faults have been killed as if its process had.
func (x *worker) die() {
	x.js.Conn().Close()
	x.stop()
	<-x.done
}

func (x *worker) end(t *testing.T) {
	t.Helper()
	x.stop()
	if err := <-x.done; err != nil {
		t.Errorf("worker ended with %v", err)
	}
}

type handlers map[string]contract.Handler

// work runs the handlers that setup makes for a bus, until the test ends or
// stops it, with no more permissions than the stage's own. All that the worker
// publishes passes f, which may be nil.
func (w *world) work(stageName string, f *faults, setup func(b *bus.Bus) handlers) *worker {
	w.Helper()
	js, operator := w.connect(stageName), w.JS
	w.JS = js // so that setup opens the buckets as the worker does
	defer func() { w.JS = operator }()
	b, err := bus.New(faultyJS{js, f}, bus.Options{Stage: stageName, Log: w.log, Drain: 10 * time.Second})
	if err != nil {
		w.Fatal(err)
	}
	for name, h := range setup(b) {
		b.Handle(consumer(name), w.wrap(h))
	}
	ctx, stop := context.WithCancel(context.Background())
	x := &worker{js: js, stop: stop, done: make(chan error, 1)}
	go func() { x.done <- b.Run(ctx); close(x.done) }()
	w.Cleanup(func() { stop(); <-x.done })
	select {
	case <-b.Running():
	case err := <-x.done:
		w.failed(fmt.Errorf("worker of stage %s: %w", stageName, err))
	}
	return x
}

func (w *world) connect(stageName string) jetstream.JetStream {
	if w.other != nil {
		return w.other.connect(stageName)
	}
	return natstest.ConnectAs(w.T, w.Server, stageName, stageName)
}

func consumer(name string) contract.Consumer {
	for _, c := range contract.Consumers() {
		if c.Name == name && c.Stream != contract.StreamRetry && c.Stream != contract.StreamAdvisories {
			return c
		}
	}
	panic("no consumer " + name)
}

// wrap is a handler as the worlds that are otherwise have it.
func (w *world) wrap(h contract.Handler) contract.Handler {
	if w.other == nil {
		return h
	}
	return w.other.wrap(h)
}

// ingest runs the first stage. f, here and below, may be nil.
func (w *world) ingest(f *faults) *worker {
	return w.work(contract.StageIngest, f, func(b *bus.Bus) handlers {
		var verifier schnorr.Verifier
		s := ingest.New(ingest.Ports{
			Authors: faulty(w, f, store[contract.Author](w, contract.BucketAuthors)),
			Records: faulty(w, f, store[contract.Record](w, contract.BucketRecords)),
			Links:   faulty(w, f, store[contract.Link](w, contract.BucketLinks)),
			Missing: w.relays.missing, Mentions: w.mentions,
			Verify: verifier.Verify, VerifyList: schnorr.VerifyRelayList, ResolveEvery: resolveEvery, Now: time.Now,
			Denied: w.denied,
		})
		w.purge(s.Purge)
		b.HandleTogether(consumer(contract.ConsumerIngest), s.Prepare, w.wrap(s.Handle))
		return nil
	})
}

// dhtworker runs the second stage.
func (w *world) dhtworker(f *faults) *worker {
	return w.work(contract.StageDHTWorker, f, func(b *bus.Bus) handlers {
		s := &dht.Stage{
			Authors: faulty(w, f, store[contract.Author](w, contract.BucketAuthors)),
			Records: faulty(w, f, store[contract.Record](w, contract.BucketRecords)),
			Relays:  faulty(w, f, store[contract.Relay](w, contract.BucketRelays)),
			Links:   faulty(w, f, store[contract.Link](w, contract.BucketLinks)),
			Network: w.dht, Probe: w.relays.probe, Publish: b.Publish, Denied: w.denied,
			RefreshEvery: w.refreshEvery, ResolveEvery: resolveEvery, Now: time.Now, Log: w.log,
		}
		if w.lists != nil {
			s.Lists = w.lists
		}
		w.purge(s.Purge)
		return handlers{
			contract.ConsumerPublish: s.HandlePublish, contract.ConsumerRefresh: s.HandleRefresh, contract.ConsumerResolve: s.HandleResolve,
		}
	})
}

// purge has a stage remove what is denied, if anything may be.
func (w *world) purge(purge func(context.Context) error) {
	if w.denied != nil {
		go run.PurgeDenied(w.Context(), w.denied, w.log, purge)
	}
}

// relinked watches for links that are made or removed, where there is the permission.
func (w *world) relinked(ctx context.Context, f func(key string)) error {
	links, err := run.OpenStore[contract.Link](ctx, w.JS, contract.BucketLinks, w.log)
	if err != nil {
		return err
	}
	return links.Comings(ctx, ">", f)
}

// syncworker runs the third stage.
func (w *world) syncworker(f *faults) *worker {
	stopping := make(chan struct{})
	ctx, cancel := context.WithCancel(w.Context())
	x := w.work(contract.StageSyncWorker, f, func(b *bus.Bus) handlers {
		s := &syncing.Stage{
			Relinked: w.relinked,
			Relays:   faulty(w, f, store[contract.Relay](w, contract.BucketRelays)),
			Links:    faulty(w, f, store[contract.Link](w, contract.BucketLinks)),
			Syncs:    faulty(w, f, store[contract.Sync](w, contract.BucketSyncs)),
			Refused:  w.refused(), Deleted: w.relays.deleted, Denied: w.denied,
			Net: w.relays, Local: home, Publish: b.Publish, SyncEvery: w.syncEvery, MaxLive: w.maxLive, Stopping: stopping, Rules: w.rules,
			Now: time.Now, Log: w.log, Authors: faulty(w, f, store[contract.Author](w, contract.BucketAuthors)),
			Survey: syncing.Survey{Surveys: faulty(w, f, store[contract.Survey](w, contract.BucketSurveys)), On: w.survey},
		}
		if w.survey != nil {
			if err := s.StartSurvey(w.Context()); err != nil {
				w.failed(err)
			}
		}
		if w.maxLive > 0 {
			go s.WatchLinks(ctx)
		}
		return handlers{
			contract.ConsumerDiscovered: s.HandleDiscovered, contract.ConsumerSync: s.HandleDue, contract.ConsumerLive: s.HandleLive,
			contract.ConsumerSurvey: s.HandleSurvey,
		}
	})
	stop := x.stop
	x.stop = sync.OnceFunc(func() { close(stopping); cancel(); stop() })
	w.Cleanup(x.stop)
	return x
}

// rules are those of the operator, or what writers write.
func (w *world) rules(url string) []syncing.Rule {
	if list := w.ruled[url]; list != nil {
		return list
	}
	return []syncing.Rule{{Direction: reconcile.Down, Writers: true, Mentions: w.mentions}}
}

// fetchStage is the fourth stage.
func (w *world) fetchStage(f *faults) *fetch.Stage {
	s := &fetch.Stage{
		Authors: faulty(w, f, store[contract.Author](w, contract.BucketAuthors)),
		Links:   faulty(w, f, store[contract.Link](w, contract.BucketLinks)),
		Lost:    faulty(w, f, store[contract.Lost](w, contract.BucketLost)),
		Net:     w.relays, Deleted: w.relays.deleted, Denied: w.denied, Resolve: w.dht.resolve, Local: home,
		LostFor: lostFor, ThreadDepth: 20, ThreadCount: 100, Now: time.Now, Log: w.log,
	}
	w.Cleanup(s.Close)
	return s
}

// fetcher runs the fourth stage.
func (w *world) fetcher(f *faults) *worker {
	return w.work(contract.StageFetcher, f, func(*bus.Bus) handlers {
		return handlers{contract.ConsumerFetch: w.fetchStage(f).Handle}
	})
}

func (w *world) sendEvent(list ...nostr.Event) {
	w.Helper()
	for _, e := range list {
		w.Publish(events.SubjectEventReceived, nostr.Encode(e))
	}
}

// ever counts the messages that a stream has taken, handled ones included.
func (w *world) ever(stream string) int { return int(w.State(stream).LastSeq) }

// schedules returns the subjects of the schedules in a stream.
func (w *world) schedules(stream string) (list []string) {
	w.Helper()
	s, err := w.JS.Stream(context.Background(), stream)
	if err != nil {
		w.Fatal(err)
	}
	info, err := s.Info(context.Background(), jetstream.WithSubjectFilter(contract.PrefixSchedule+">"))
	if err != nil {
		w.Fatal(err)
	}
	return slices.Sorted(maps.Keys(info.State.Subjects))
}

// outcomes returns what was told on an outcome subject within the last hour,
// oldest first. After a longer time [world.ever] counts them: the server
// judges age by real time, and in a bubble drops too much.
func outcomes[T any](w *world, subject string) []T {
	return natstest.Messages[T](w.World, contract.StreamOutcome, subject)
}

// noDeadLetters fails the test if there is a dead letter.
func (w *world) noDeadLetters() {
	w.Helper()
	for _, l := range w.DeadLetters() {
		w.Errorf("dead letter: %s: %s", l.Subject, l.Reason)
	}
}

// watch calls see for every message that is published on the subjects, when
// it is published.
func (w *world) watch(see func(m *nats.Msg), subjects ...string) {
	w.Helper()
	nc := natstest.Connect(w.T, w.Server).Conn()
	for _, subject := range subjects {
		if _, err := nc.Subscribe(subject, see); err != nil {
			w.Fatal(err)
		}
	}
	time.Sleep(time.Second) // until the server knows
}

// tally counts by name.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (y *tally) add(name string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.n == nil {
		y.n = map[string]int{}
	}
	y.n[name]++
}

func (y *tally) count(name string) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.n[name]
}

// user returns a key that is the same in every run.
func user(t *testing.T, name string) *schnorr.SecretKey {
	t.Helper()
	sum := sha256.Sum256([]byte(name))
	key, err := schnorr.ParseSecret(hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign returns an event of the key, of now unless it has a time.
func sign(t *testing.T, key *schnorr.SecretKey, e nostr.Event) nostr.Event {
	t.Helper()
	if e.CreatedAt == 0 {
		e.CreatedAt = time.Now().Unix()
	}
	if err := key.SignEvent(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

func note(t *testing.T, key *schnorr.SecretKey, content string, tags ...nostr.Tag) nostr.Event {
	t.Helper()
	return sign(t, key, nostr.Event{Kind: 1, Content: content, Tags: tags})
}

// nip65 is a relay list of kind 10002.
func nip65(t *testing.T, key *schnorr.SecretKey, at int64, urls ...string) nostr.Event {
	t.Helper()
	e := nostr.Event{Kind: 10002, CreatedAt: at}
	for _, url := range urls {
		e.Tags = append(e.Tags, nostr.Tag{"r", url})
	}
	return sign(t, key, e)
}

// list signs a relay list for the DHT.
func list(t *testing.T, key *schnorr.SecretKey, seq int64, urls ...string) run.SignedList {
	t.Helper()
	l, err := run.SignList(key, urls, seq)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// listOf signs a list of an author with the DHT key of another user, at a time.
func listOf(t *testing.T, author, signer *schnorr.SecretKey, at, seq int64, urls ...string) run.SignedList {
	t.Helper()
	l := list(t, signer, seq, urls...)
	l.DHT.CreatedAt = at
	l.DHT = sign(t, author, l.DHT)
	return l
}

func relayURL(i int) string { return fmt.Sprintf("wss://relay%d.example.com", i) }

// ownDomain is a relay whose domain has no other.
func ownDomain(i int) string { return fmt.Sprintf("wss://relay%d.test", i) }

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func hasPrefix(s, prefix string) bool { return strings.HasPrefix(s, prefix) }
