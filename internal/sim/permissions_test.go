package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/stage/ingest"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// In all tests of this package stages run with no more permissions than
// [contract.PermissionsOf] gives them. Here each stage does all that it ever
// does, once with all of them, and then once without each: something must be
// denied.
func TestOnePermissionLessFails(t *testing.T) {
	if os.Getenv("RELAYMESH_PERMISSIONS") == "" {
		t.Skip("runs each stage once per permission, 20 seconds: make test-permissions")
	}
	for _, stageName := range contract.Stages() {
		t.Run(stageName, func(t *testing.T) {
			full, _ := contract.PermissionsOf(stageName)
			var users []*server.User
			var without []string
			add := func(what string, p contract.Permissions) {
				without = append(without, what)
				users = append(users, natstest.User("without "+what, p))
			}
			add("nothing", full)
			for i, subject := range full.Publish {
				p := full
				p.Publish = slices.Delete(slices.Clone(p.Publish), i, i+1)
				add("publish "+subject, p)
			}
			for i, subject := range full.Subscribe {
				p := full
				p.Subscribe = slices.Delete(slices.Clone(p.Subscribe), i, i+1)
				add("subscribe "+subject, p)
			}
			if full.Responses {
				p := full
				p.Responses = false
				add("responses", p)
			}
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, users...)
				w.maxLive, w.lists, w.survey = 10, newIndexes(), func(context.Context) bool { return true }
				for round, what := range without {
					denied := w.everything(stageName, "without "+what, round)
					t.Logf("without %s: %q", what, denied)
					if (len(denied) > 0) != (round > 0) {
						t.Errorf("without %s these were denied: %q", what, denied)
					}
				}
			})
		})
	}
}

// everything lets a stage do all that it ever does, as a user, and returns
// what was denied. It stops at the first denial.
func (w *world) everything(stageName, user string, round int) (denied []string) {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	var mu sync.Mutex
	deny := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		denied = append(denied, err.Error())
		stop(err)
	}
	js := natstest.ConnectAs(w.T, w.Server, stageName, user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			deny(err)
		}
	}))
	broken := false // a real worker would end
	w.other = &otherwise{
		connect: func(string) jetstream.JetStream { return slowJS{js} },
		wrap: func(h contract.Handler) contract.Handler {
			if broken {
				return func(context.Context, contract.Message) ([]contract.Output, contract.Verdict) {
					return nil, contract.Done()
				}
			}
			return behave(h)
		},
		failed: func(err error) { w.Log(err); broken = true },
	}
	defer func() { w.other = nil }()
	x := map[string]func(*faults) *worker{
		contract.StageIngest: w.ingest, contract.StageDHTWorker: w.dhtworker, contract.StageSyncWorker: w.syncworker,
		contract.StageFetcher: w.fetcher,
	}[stageName](nil)
	w.other = nil
	doing := make(chan struct{})
	go func() {
		defer close(doing)
		w.verdicts(stageName, round)
		w.list(ctx, js, user)
		map[string]func(context.Context, jetstream.JetStream, int){
			contract.StageIngest: w.doIngest, contract.StageDHTWorker: w.doDHT, contract.StageSyncWorker: w.doSync, contract.StageFetcher: w.doFetch,
		}[stageName](ctx, js, round)
	}()
	<-doing
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Minute):
	}
	x.stop()
	<-x.done
	js.Conn().Close()
	mu.Lock()
	defer mu.Unlock()
	return denied
}

// slowJS takes its time to describe a stream, so that what needs it outlasts a
// heartbeat. Without it a single ack per message would pass as a response.
type slowJS struct{ jetstream.JetStream }

func (j slowJS) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	wait(ctx, beat)
	return j.JetStream.Stream(ctx, name)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

const beat = 11 * time.Second // longer than a third of AckWait

// behave makes a handler slow, and answers some messages in its place.
func behave(h contract.Handler) contract.Handler {
	return func(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
		wait(ctx, beat)
		switch strings.Trim(string(m.Data), `0123456789"`) {
		case "later":
			return nil, contract.Retry(time.Hour, "waits on RETRY")
		case "never":
			return nil, contract.Reject("becomes a dead letter")
		case "stuck":
			wait(ctx, 16*beat)
			return nil, contract.Done()
		}
		return h(ctx, m)
	}
}

// verdicts sends to each consumer what waits long, what can never work, and
// what the server gives up on.
func (w *world) verdicts(stageName string, round int) {
	for _, c := range contract.Consumers() { // what the run before has left
		stream, err := w.JS.Stream(context.Background(), c.Stream)
		if err == nil && c.Stage == stageName {
			err = stream.Purge(context.Background())
		}
		if err != nil {
			w.Fatal(err)
		}
	}
	for _, c := range contract.Consumers() {
		if c.Stage != stageName || c.Stream == contract.StreamAdvisories {
			continue
		}
		for _, fate := range []string{"later", "never", "stuck"} {
			msg := nats.NewMsg(strings.Replace(c.Filters[0], "*", fmt.Sprintf("%s%d", fate, round), 1))
			msg.Data = fmt.Appendf(nil, "%q", fmt.Sprint(fate, round))
			if c.Stream == contract.StreamRetry {
				msg.Header.Set("Relaymesh-Subject", strings.Replace(work(stageName).Filters[0], "*", "x", 1))
			}
			ack, err := w.JS.PublishMsg(context.Background(), msg)
			if err != nil {
				w.Fatalf("publish %s: %v", msg.Subject, err)
			}
			if fate == "stuck" {
				w.Publish(contract.AdvisoryMaxDeliveries+"."+c.Stream+"."+c.Name, nostr.Encode(map[string]any{
					"stream": c.Stream, "consumer": c.Name, "stream_seq": ack.Sequence, "deliveries": contract.MaxDeliver,
				}))
			}
		}
	}
}

// work is one of the consumers that do the stage's own work.
func work(stageName string) contract.Consumer {
	for _, c := range contract.Consumers() {
		if c.Stage == stageName {
			return c
		}
	}
	panic("no consumer of " + stageName)
}

// list lists each bucket that the stage may list while its keys vanish, and
// creates a key twice in those that it may write.
func (w *world) list(ctx context.Context, js jetstream.JetStream, user string) {
	stageName := js.Conn().Opts.Name
	metrics := prometheus.NewRegistry()
	if _, err := bus.New(js, bus.Options{Stage: stageName, Registerer: metrics}); err != nil {
		w.Fatal(err)
	}
	_, _ = metrics.Gather() // what is denied is seen by its error handler
	full, _ := contract.PermissionsOf(stageName)
	for _, b := range contract.Buckets() {
		key := "a." + strings.Repeat("0", 40)
		if slices.Contains(full.Publish, "$JS.API.CONSUMER.CREATE.KV_"+b.Name+".*.$KV."+b.Name+".>") {
			stream, err := w.JS.Stream(context.Background(), "KV_"+b.Name)
			if err != nil {
				w.Fatal(err)
			}
			w.Publish("$KV."+b.Name+"."+key, []byte("{}"))
			bucket, err := kv.Open[json.RawMessage](ctx, vanishing{js, func() { _ = stream.Purge(context.Background()) }}, b.Name)
			if err != nil {
				return
			}
			patterns := []string{"a.*"}
			if slices.Contains(full.Publish, "$JS.API.DIRECT.GET.KV_"+b.Name) {
				patterns = append(patterns, "*.b")
			}
			for _, pattern := range patterns {
				for range bucket.List(ctx, pattern) { //nolint:revive // only that it may be listed matters
				}
			}
		}
		if slices.Contains(full.Publish, "$KV."+b.Name+".>") {
			bucket, err := kv.Open[json.RawMessage](ctx, js, b.Name)
			if err != nil {
				return
			}
			for range 2 {
				_, _ = bucket.Add(ctx, "twice", json.RawMessage("{}"), time.Hour)
			}
		}
	}
}

// vanishing removes what a listing has just counted.
type vanishing struct {
	jetstream.JetStream
	remove func()
}

func (j vanishing) CreateConsumer(ctx context.Context, stream string, c jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := j.JetStream.CreateConsumer(ctx, stream, c)
	j.remove()
	return consumer, err
}

func (w *world) doIngest(ctx context.Context, js jetstream.JetStream, round int) {
	key := user(w.T, fmt.Sprint("ingest ", round))
	l := list(w.T, key, 1, relayURL(1))
	w.sendEvent(l.DHT, l.NIP65, note(w.T, key, "", nostr.Tag{"e", strings.Repeat("ab", 32)}, nostr.Tag{"scionic_root", dagRoot}))
	cursors, err := run.OpenStore[contract.Cursor](ctx, js, contract.BucketCursors, w.log)
	if err != nil {
		return
	}
	heard, err := run.OpenStore[contract.Heard](ctx, js, contract.BucketHeard, w.log)
	if err != nil {
		return
	}
	b, err := bus.New(js, bus.Options{Stage: contract.StageIngest})
	if err != nil {
		w.Fatal(err)
	}
	t := &ingest.Tail{
		URL: relayURL(round), Cursors: cursors, Heard: heard, Publish: b.Publish, Seen: ingest.NewSeen(), Log: w.log,
		Relay: func(context.Context) (reconcile.Relay, error) { return nil, errors.New("nothing to compare") },
		Follow: func(ctx context.Context, _ int64, handle func(context.Context, nostr.Event) error,
			caughtUp func(context.Context, int64) error,
		) error {
			return errors.Join(handle(ctx, note(w.T, key, "from a tail")), caughtUp(ctx, time.Now().Unix()))
		},
	}
	_ = t.Run(ctx)
}

func (w *world) doDHT(ctx context.Context, js jetstream.JetStream, round int) {
	l := list(w.T, user(w.T, fmt.Sprint("dht ", round)), 1, relayURL(1))
	target, pubkey, dhtKey := l.Item.Target(), l.DHT.PubKey, hexOf(l.Item.Key[:])
	w.dht.set(func(n *network) { n.items[hexOf(target[:])], n.copies[hexOf(target[:])] = l.Item, new([16]time.Time) })
	put(w, contract.BucketRecords, contract.RecordKey(hexOf(target[:])), contract.Record{
		DHTKey: dhtKey, Seq: 1, Value: l.Item.Value, Sig: hexOf(l.Item.Sig[:]), PubKey: pubkey,
	})
	put(w, contract.BucketAuthors, pubkey, contract.Author{DHTKey: dhtKey, DHTKeyBy: pubkey})
	w.Publish(contract.RelayListSignedSubject(hexOf(target[:])), []byte("{}"))
	w.Publish(contract.RecordDueSubject(contract.Slice(hexOf(target[:]))),
		nostr.Encode(contract.RecordDue{Slice: contract.Slice(hexOf(target[:]))}))
	w.Publish(contract.AuthorSeenSubject(pubkey), nostr.Encode(events.AuthorSeen{PubKey: pubkey, DHTKey: dhtKey}))
	unlisted := list(w.T, user(w.T, fmt.Sprint("unlisted ", round)), 1, relayURL(1)).NIP65
	w.lists.add(unlisted)
	put(w, contract.BucketAuthors, unlisted.PubKey, contract.Author{})
	w.Publish(contract.AuthorSeenSubject(unlisted.PubKey), nostr.Encode(events.AuthorSeen{PubKey: unlisted.PubKey}))
	call, cancel := context.WithTimeout(ctx, time.Second) // of a witness, which is not there
	_, _ = run.Request[events.ResolveResponse](call, js, events.ServiceListResolve, events.ResolveRequest{})
	cancel()
	serve(w, ctx, js, contract.NameListResolve, events.ServiceListResolve)
}

func (w *world) doSync(ctx context.Context, js jetstream.JetStream, round int) {
	url, key := relayURL(round), user(w.T, fmt.Sprint("sync ", round))
	if known, err := run.OpenStore[contract.Author](ctx, js, contract.BucketAuthors, nil); err == nil { // whether an author was here before
		_, _, _ = known.Get(ctx, key.PublicKey())
	}
	bad := note(w.T, key, "refuse me")
	w.relays.set(url, func(x *remote) { x.events = append(x.events, bad, note(w.T, key, "take me")) })
	w.relays.set(home, func(x *remote) {
		x.refuse = func(e nostr.Event) string {
			if e.Content == bad.Content {
				return "blocked: not here"
			}
			return ""
		}
	})
	put(w, contract.BucketLinks, contract.LinkKey(nostr.RelayKey(url), key.PublicKey()),
		contract.Link{URL: url, Via: map[string]int64{contract.ViaNIP65: 1}})
	w.Publish(contract.RelayDiscoveredSubject(nostr.RelayKey(url)), nostr.Encode(events.RelayDiscovered{URL: url, Via: contract.ViaNIP65}))
}

func (w *world) doFetch(ctx context.Context, js jetstream.JetStream, round int) {
	url, key := relayURL(1), user(w.T, fmt.Sprint("fetch ", round))
	found := note(w.T, key, "here")
	w.relays.set(url, func(x *remote) { x.events = append(x.events, found) })
	for _, id := range []string{found.ID, strings.Repeat("cd", 30) + fmt.Sprintf("%04x", round)} {
		w.Publish(contract.NoteMissingSubject(id),
			nostr.Encode(events.NoteMissing{EventID: id, AuthorPubkey: found.PubKey, Relays: []string{url}}))
	}
	_, _ = run.Request[events.ResolveResponse](ctx, js, events.ServiceListResolve, events.ResolveRequest{})
	if known, err := run.OpenStore[contract.Relay](ctx, js, contract.BucketRelays, nil); err == nil { // whether a relay is proven
		_, _, _ = known.Get(ctx, nostr.RelayKey(url))
	}
	if _, err := js.Conn().ChanQueueSubscribe(events.SubjectDAGWanted, contract.StageFetcher, make(chan *nats.Msg, 1)); err != nil {
		w.Error(err)
	}
	serve(w, ctx, js, contract.NameNoteFetch, events.ServiceNoteFetch)
}

// serve answers one call of a service.
func serve(w *world, ctx context.Context, js jetstream.JetStream, name, subject string) {
	serving, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = run.Serve(serving, js, nil, func(string) {}, name, subject, func(struct{}) int64 { return 1000 },
			func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	}()
	time.Sleep(time.Second) // until it is known
	call, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, _ = run.Request[struct{}](call, w.JS, subject, struct{}{})
	stop()
	<-ended
}
