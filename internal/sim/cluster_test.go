package sim_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/internal/stage/fetch"
	"github.com/relaymesh/relaymesh/internal/stage/ingest"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// cluster is a world whose processes meet faults: they crash, are started
// again, and lose what they do or are told.
type cluster struct {
	*world
	injector *faultInjector
	mesh     *mesh
	ledger   *ledger
	dialer   *serverDialer
	procs    []*process

	resolveEvery, lostFor time.Duration
}

// dialer is where processes connect: to the server that runs just now.
type serverDialer struct {
	mu     sync.Mutex
	server *natsd.Server
	conns  []net.Conn
}

func (d *serverDialer) InProcessConn() (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		return nil, errors.New("the server is down")
	}
	conn, err := d.server.InProcessConn()
	d.conns = append(d.conns, conn)
	return conn, err
}

func (d *serverDialer) open(s *natsd.Server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.server = s
}

// shut cuts all connections and lets nobody in. It returns when the server has
// nothing left to do: nats-server sleeps under a lock when it is shut down, and
// fake time does not pass while a request waits for that lock.
func (d *serverDialer) shut() {
	d.mu.Lock()
	for _, conn := range d.conns {
		_ = conn.Close() // which may have ended long ago
	}
	d.server, d.conns = nil, nil
	d.mu.Unlock()
	synctest.Wait()
}

func newCluster(t *testing.T, seed uint64) *cluster {
	t.Helper()
	injector := newFaultInjector(seed)
	y := &cluster{
		world: newWorld(t), injector: injector, mesh: newMesh(injector), ledger: newLedger(), dialer: &serverDialer{},
		resolveEvery: 15 * time.Minute, lostFor: 6 * time.Minute,
	}
	y.log = slog.New(slog.DiscardHandler)
	y.dialer.open(y.Server)
	return y
}

// restartServer stops the server and starts it on the same store.
func (y *cluster) restartServer(after time.Duration) {
	y.Helper()
	y.injector.did("server", "restart")
	y.JS.Conn().Close()
	y.dialer.shut()
	y.Server.Close()
	time.Sleep(after)
	y.Server = natstest.StartOn(y.T, y.Dir)
	y.dialer.open(y.Server)
	y.JS = natstest.Connect(y.T, y.Server)
}

// process is a worker process over its lives.
type process struct {
	stage, name  string
	stop         context.CancelFunc
	done         chan error
	cycle        chan struct{} // asks for a graceful restart
	incarnations int
}

// start runs a process until the cluster ends it.
func (y *cluster) start(stageName, name string) {
	ctx, stop := context.WithCancel(context.Background())
	p := &process{stage: stageName, name: name, stop: stop, done: make(chan error, 1), cycle: make(chan struct{})}
	y.procs = append(y.procs, p)
	go func() {
		defer close(p.done)
		for ctx.Err() == nil {
			p.incarnations++
			err := y.live(ctx, p)
			if err != nil {
				p.done <- err
				return
			}
			select {
			case <-time.After(y.injector.span("start "+name, 10*time.Second)):
			case <-ctx.Done():
			}
		}
	}()
}

// live runs a process once, until it crashes or is stopped. An error is one
// that no process may end with.
func (y *cluster) live(ctx context.Context, p *process) error {
	alive, kill := context.WithCancel(context.Background())
	defer kill()
	l := &incarnation{faultInjector: y.injector, name: p.name, ctx: alive, kill: kill}
	nc, err := nats.Connect("", append(bus.ConnectOptions(p.stage, y.log), nats.InProcessServer(y.dialer), nats.UserInfo(p.stage, p.stage))...)
	if err != nil {
		return nil // as while the server is down
	}
	defer nc.Close()
	raw, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	js := badJS{raw, l, y.ledger}
	b, err := bus.New(js, bus.Options{Stage: p.stage, Log: y.log, Drain: 10 * time.Second})
	if err != nil {
		return err
	}
	leaving, left, err := y.staff(b, js, l, p.stage)
	if err != nil {
		return nil // a bucket could not be opened
	}
	defer left()
	running, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- b.Run(running) }()
	select {
	case <-alive.Done():
		y.injector.did("process "+p.name, "crashed")
		nc.Close()
		leaving()
		stop()
		<-ended
		return nil
	case err := <-ended:
		leaving()
		if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("%s ended with %w", p.name, err)
		}
		return nil // it starts again
	case <-p.cycle:
	case <-ctx.Done():
	}
	leaving()
	stop()
	if err := <-ended; err != nil && !l.dead() {
		return fmt.Errorf("%s ended with %w", p.name, err)
	}
	return nil
}

// bucket opens a bucket that meets faults.
func bucket[T any](js jetstream.JetStream, log *slog.Logger, name string, errs *[]error) stage.Store[T] {
	s, err := run.OpenStore[T](context.Background(), js, name, log)
	*errs = append(*errs, err)
	return s
}

// staff gives a process the handlers of its stage. leaving is called when it is
// to stop, and left when it has.
func (y *cluster) staff(b *bus.Bus, js badJS, l *incarnation, stageName string) (leaving, left func(), err error) {
	var errs []error
	net := badRelays{y.relays, l, y.ledger}
	links := bucket[contract.Link](js, y.log, contract.BucketLinks, &errs)
	leaving, left = func() {}, func() {}
	work := handlers{}
	switch stageName {
	case contract.StageIngest:
		var verifier schnorr.Verifier
		s := ingest.New(ingest.Ports{
			Authors: bucket[contract.Author](js, y.log, contract.BucketAuthors, &errs), Links: links,
			Records: bucket[contract.Record](js, y.log, contract.BucketRecords, &errs),
			Missing: net.missing, Verify: verifier.Verify, VerifyList: schnorr.VerifyRelayList,
			ResolveEvery: y.resolveEvery, Now: l.now,
		})
		b.HandleTogether(consumer(contract.ConsumerIngest), s.Prepare, s.Handle)
	case contract.StageDHTWorker:
		s := &dht.Stage{
			Authors: bucket[contract.Author](js, y.log, contract.BucketAuthors, &errs), Links: links,
			Records: bucket[contract.Record](js, y.log, contract.BucketRecords, &errs),
			Relays:  bucket[contract.Relay](js, y.log, contract.BucketRelays, &errs),
			Network: meshClient{y.mesh, l}, Probe: net.probe, Publish: b.Publish,
			RefreshEvery: y.refreshEvery, ResolveEvery: y.resolveEvery, Now: l.now, Log: y.log,
		}
		work[contract.ConsumerPublish], work[contract.ConsumerRefresh], work[contract.ConsumerResolve] = s.HandlePublish, s.HandleRefresh,
			s.HandleResolve
	case contract.StageSyncWorker:
		stopping := make(chan struct{})
		leaving = sync.OnceFunc(func() { close(stopping) })
		refused, err := run.OpenStore[contract.Refused](context.Background(), js, contract.BucketRefused, y.log)
		errs = append(errs, err)
		s := &syncing.Stage{
			Links: links, Refused: refused,
			Authors: bucket[contract.Author](js, y.log, contract.BucketAuthors, &errs),
			Survey:  syncing.Survey{Surveys: bucket[contract.Survey](js, y.log, contract.BucketSurveys, &errs), On: y.survey},
			Relays:  bucket[contract.Relay](js, y.log, contract.BucketRelays, &errs),
			Syncs:   bucket[contract.Sync](js, y.log, contract.BucketSyncs, &errs),
			Deleted: net.deleted, Net: net, Local: home, Publish: b.Publish, SyncEvery: y.syncEvery, MaxLive: y.maxLive,
			Stopping: stopping, Rules: y.rules, Now: l.now, Log: y.log,
		}
		work[contract.ConsumerDiscovered], work[contract.ConsumerSync], work[contract.ConsumerLive] = s.HandleDiscovered, s.HandleDue,
			s.HandleLive
		if y.survey != nil {
			work[contract.ConsumerSurvey] = s.HandleSurvey
			errs = append(errs, s.StartSurvey(l.ctx))
		}
	case contract.StageFetcher:
		directory := &dht.Stage{Network: meshClient{y.mesh, l}}
		s := &fetch.Stage{
			Authors: bucket[contract.Author](js, y.log, contract.BucketAuthors, &errs), Links: links,
			Lost: bucket[contract.Lost](js, y.log, contract.BucketLost, &errs),
			Net:  net, Deleted: net.deleted, Local: home, LostFor: y.lostFor, ThreadDepth: 20, ThreadCount: 100, Now: l.now, Log: y.log,
			Resolve: func(ctx context.Context, r events.ResolveRequest) (events.ResolveResponse, error) {
				return directory.Resolve(ctx, events.ResolveRequest{DHTKey: r.DHTKey})
			},
		}
		left = s.Close
		work[contract.ConsumerFetch] = s.Handle
	}
	for name, h := range work {
		b.Handle(consumer(name), h)
	}
	return leaving, left, errors.Join(errs...)
}

// end stops all processes, which must end well, and in time.
func (y *cluster) end() {
	y.Helper()
	for _, p := range y.procs {
		p.stop()
	}
	late := time.After(5 * time.Minute)
	for _, p := range y.procs {
		select {
		case err := <-p.done:
			if err != nil {
				y.Error(err)
			}
		case <-late:
			y.Fatalf("%s does not end", p.name)
		}
	}
}
