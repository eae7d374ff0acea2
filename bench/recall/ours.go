package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/ingest"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/internal/testkit/memkv"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// tick is how far the driven clock goes at once, and surveyEvery and syncEvery when
	// schedules fire; syncs are as frequent as they are by default only where they must be.
	tick, surveyEvery, syncEvery = time.Minute, time.Hour, 12 * time.Hour
	// atOnce is how many syncs go on at a time, and surveysAtOnce how many passes of surveys, as in a worker.
	atOnce, surveysAtOnce = 8, 2
)

// buckets are the state of the stages.
type buckets struct {
	surveys stage.Store[contract.Survey]
	links   stage.Store[contract.Link]
	relays  stage.Store[contract.Relay]
	authors stage.Store[contract.Author]
	records stage.Store[contract.Record]
	syncs   stage.Store[contract.Sync]
	refused syncing.Refused
}

// ours is relaymesh beside a relay of the world.
type ours struct {
	w     *world
	home  *place                                     // nil where the world is another process
	pass  func(ctx context.Context, now int64) error // lets time pass, until what is sent meanwhile is at home
	begun iter.Seq[nostr.Event]                      // what our relay's users give it at first
	net   *dialled
	buckets
	syncing *syncing.Stage
	ingest  *ingest.Stage

	mu       sync.Mutex
	queue    []contract.Output
	due      map[string]contract.Output // the newest of each coalescing subject
	schedule map[string]contract.Output
	running  sync.WaitGroup // live subscriptions

	looks, lookFails, looked, bytes atomic.Int64
	errors                          sync.Map // a look's error to how often
	half                            int64    // bytes by the middle of the time
	new                             arrivals
}

// dialled are connections of one driven day: what a pool remembers of relays that do not
// answer goes by the real clock.
type dialled struct {
	w          *world
	mu         sync.Mutex
	pool, home *relay.Pool
	homeURL    string
	asked      map[string][]int64 // driven times, by URL
}

func (d *dialled) At(_ context.Context, url string) (reconcile.Relay, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if url == d.homeURL {
		return reconcile.Classified(d.home.At(url)), nil
	}
	d.asked[url] = append(d.asked[url], d.w.clock.Load())
	return reconcile.Classified(d.pool.At(url)), nil
}

// renew begins a day.
func (d *dialled) renew() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pool != nil {
		d.pool.Close()
	}
	d.pool = relay.NewPool(relay.Options{AllowPrivate: true, Budget: &hosts.Budget{}})
}

// atHome opens a relay that has nothing but what its users gave it.
func (w *world) atHome() (*place, error) {
	home := &place{w: w, nip77: true, page: 500, mine: newShelf(len(w.notes))}
	url, err := serve("127.199.0.1:0", home)
	home.url = url
	return home, err
}

// beside is relaymesh beside a relay of a world in this process.
func beside(w *world) (*ours, error) {
	home, err := w.atHome()
	if err != nil {
		return nil, err
	}
	o := newOurs(w, home.url, w.seeds(), 200<<20, buckets{
		surveys: memkv.New[contract.Survey](), links: memkv.New[contract.Link](), relays: memkv.New[contract.Relay](),
		authors: memkv.New[contract.Author](), records: memkv.New[contract.Record](), syncs: memkv.New[contract.Sync](),
		refused: memkv.New[contract.Refused](),
	})
	o.home, o.begun = home, slices.Values(w.brought(home))
	o.pass = func(_ context.Context, now int64) error {
		before := w.clock.Load()
		sent := w.pass(now)
		o.written(before, now)
		home.await(sent)
		return nil
	}
	return o, nil
}

// newOurs is relaymesh beside the relay at a URL, which knows seeds, and may spend so many bytes a day on surveys.
func newOurs(w *world, url string, seeds []string, dayBytes int64, b buckets) *ours {
	o := &ours{w: w, buckets: b, due: map[string]contract.Output{}, schedule: map[string]contract.Output{}}
	o.net = &dialled{w: w, homeURL: url, asked: map[string][]int64{}, home: relay.NewPool(relay.Options{AllowPrivate: true, Local: true})}
	o.net.renew()
	now := func() time.Time { return time.Unix(w.clock.Load(), 0) }
	var verifier schnorr.Verifier
	o.ingest = ingest.New(ingest.Ports{
		Authors: b.authors, Links: b.links, Records: b.records,
		Missing:    func(context.Context, []events.NoteMissing) ([]events.NoteMissing, error) { return nil, nil },
		Verify:     verifier.Verify,
		VerifyList: schnorr.VerifyRelayList, ResolveEvery: 24 * time.Hour, AllowPrivate: true, Now: now,
	})
	o.syncing = &syncing.Stage{
		Authors: b.authors, Relays: b.relays, Links: b.links, Syncs: b.syncs, Refused: b.refused,
		Net: o.net, Local: url, SyncEvery: syncEvery, Now: now, Log: slog.New(slog.DiscardHandler), Publish: o.publish, MaxLive: 200,
		Deleted: func(context.Context, *nostr.Event) (bool, error) { return false, nil },
		Rules:   func(string) []syncing.Rule { return []syncing.Rule{{Direction: reconcile.Down, Writers: true}} },
		Survey: syncing.Survey{
			Surveys: b.surveys, Seeds: seeds, AllowPrivate: true, DayBytes: dayBytes, On: func(context.Context) bool { return true },
			Observe: func(n int, bytes int64, err error) {
				o.looks.Add(1)
				o.looked.Add(int64(n))
				o.bytes.Add(bytes)
				if err != nil {
					o.lookFails.Add(1)
					o.failed("look: " + err.Error())
				}
			},
		},
	}
	return o
}

// publish takes the place of the bus.
func (o *ours) publish(_ context.Context, out ...contract.Output) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range out {
		switch {
		case m.Cron == contract.CronNever:
			delete(o.schedule, m.Subject)
		case m.Cron != "":
			o.schedule[m.Subject] = m
		case coalesces(m.Subject):
			o.due[m.Subject] = m
		default:
			o.queue = append(o.queue, m)
		}
	}
	return nil
}

func coalesces(subject string) bool {
	return strings.HasPrefix(subject, "sync.due.") || strings.HasPrefix(subject, "survey.due.") || strings.HasPrefix(subject, "live.due.")
}

// settle handles all that waits, and what comes of it.
func (o *ours) settle(all context.Context) error {
	for {
		if err := o.queued(all); err != nil {
			return err
		}
		o.mu.Lock()
		due := o.due
		o.due = map[string]contract.Output{}
		o.mu.Unlock()
		if len(due) == 0 {
			return nil
		}
		var syncs, surveys errgroup.Group
		syncs.SetLimit(atOnce)
		surveys.SetLimit(surveysAtOnce)
		for _, m := range due {
			switch kind, _, _ := strings.Cut(m.Subject, "."); kind {
			case "live":
				o.running.Go(func() { o.handle(all, m, 6) })
			case "survey":
				surveys.Go(func() error { o.handle(all, m, 6); return all.Err() })
			default:
				syncs.Go(func() error { o.handle(all, m, 6); return all.Err() })
			}
		}
		if err := errors.Join(syncs.Wait(), surveys.Wait()); err != nil {
			return err
		}
	}
}

// queued handles the messages that wait in a queue, and what comes of them.
func (o *ours) queued(all context.Context) error {
	for {
		o.mu.Lock()
		queue := o.queue
		o.queue = nil
		o.mu.Unlock()
		if len(queue) == 0 {
			return nil
		}
		group, ctx := errgroup.WithContext(all)
		group.SetLimit(8 * atOnce)
		for _, m := range queue {
			group.Go(func() error { o.handle(ctx, m, 1); return ctx.Err() })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
}

// handle has a stage handle a message. One that is to be tried again waits for its
// schedule: attempts of one message within an hour say nothing here.
func (o *ours) handle(ctx context.Context, out contract.Output, attempt int) {
	m := contract.Message{Subject: out.Subject, Data: out.Data, Attempt: attempt, Cause: fmt.Sprint(out.Subject, o.w.clock.Load())}
	handler := map[string]contract.Handler{
		"relay": o.syncing.HandleDiscovered, "sync": o.syncing.HandleDue, "survey": o.syncing.HandleSurvey, "live": o.syncing.HandleLive,
		"event": o.ingest.Handle,
	}[out.Subject[:strings.IndexByte(out.Subject, '.')]]
	if handler == nil || strings.HasPrefix(out.Subject, "sync.finished") {
		return
	}
	next, verdict := handler(ctx, m)
	if !verdict.IsDone() && ctx.Err() == nil {
		o.failed(verdict.Reason())
	}
	_ = o.publish(ctx, next...)
}

var address = regexp.MustCompile(`wss?://[^: ]+(:\d+)?[^: ]*|[0-9.]+:\d+(:\d+)?( on)?|gone\d+`)

// failed counts why something was not done.
func (o *ours) failed(why string) {
	n, _ := o.errors.LoadOrStore(address.ReplaceAllString(why, "it"), new(atomic.Int64))
	n.(*atomic.Int64).Add(1) //nolint:forcetypeassert // our own
}

// fire makes due what the schedules say between two driven times.
func (o *ours) fire(from, to int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for subject, m := range o.schedule {
		every := int64(syncEvery / time.Second)
		if strings.HasPrefix(subject, "survey.") {
			every = int64(surveyEvery / time.Second)
		}
		h := fnv.New64a()
		_, _ = h.Write([]byte(subject))
		phase := int64(h.Sum64() % uint64(every)) //nolint:gosec // of a period
		if (to-phase)/every > (from-phase)/every {
			m.Cron = ""
			o.due[subject] = m
		}
	}
}

// run lets the days pass; it tells of each.
func (o *ours) run(ctx context.Context, tell func(day int)) error {
	ctx, stop := context.WithCancel(ctx)
	defer o.running.Wait()
	defer stop()
	n := 0
	for e := range o.begun {
		_ = o.publish(ctx, contract.Output{Subject: events.SubjectEventReceived, Data: nostr.Encode(e)})
		if n++; n%500 == 0 { // no more of them in memory than a worker has
			if err := o.queued(ctx); err != nil {
				return err
			}
		}
	}
	if err := o.syncing.StartSurvey(ctx); err != nil {
		return err
	}
	for at := int64(begin); at < int64(begin+o.w.days*day); {
		next := at + int64(tick/time.Second)
		if err := o.pass(ctx, next); err != nil {
			return err
		}
		o.fire(at, next)
		at = next
		if err := o.settle(ctx); err != nil {
			return err
		}
		if (at-begin)%day == 0 {
			o.net.renew()
			today := int((at - begin) / day)
			if today == o.w.days/2 {
				o.half = o.bytes.Load()
			}
			tell(today)
		}
	}
	return nil
}

// brought puts at a home what its users bring, lists and one note of each who has none, and returns it.
func (w *world) brought(home *place) (list []nostr.Event) {
	last := map[int32]int32{} // the newest note of each author
	bring := func(i int32) {
		home.mine.at[i] = begin
		list = append(list, w.event(i))
	}
	for i := range w.notes {
		n := &w.notes[i]
		if n.at > begin || int(n.author) >= w.authors {
			continue
		}
		if n.kind == nostr.KindRelayList {
			bring(int32(i)) //nolint:gosec // few
		} else if len(w.writers[n.author].listed)+len(w.writers[n.author].lost) == 0 {
			last[n.author] = int32(i) //nolint:gosec // few
		}
	}
	for _, i := range last {
		bring(i)
	}
	return list
}
