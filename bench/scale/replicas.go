//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	syncRounds = 20  // in which every relay is synced once more
	dhtRate    = 250 // packets a second, by default
	allStages  = "all stages"
)

// phases are what is measured of replicas: first one stage after the other, while what it
// leads to waits for the next, and then all at the same time. Each does so many jobs.
var phases = []struct {
	stage, job string
	do         func(context.Context, *fleet) (jobs int, err error)
}{
	{contract.StageIngest, "event", func(ctx context.Context, f *fleet) (int, error) {
		return f.publish(ctx, f.world.said[:len(f.world.said)/2], contract.ConsumerIngest)
	}},
	{contract.StageDHTWorker, "author", func(ctx context.Context, f *fleet) (int, error) {
		return f.told(ctx, events.SubjectRecordResolved, contract.ConsumerPublish, contract.ConsumerResolve)
	}},
	{contract.StageFetcher, "note", func(ctx context.Context, f *fleet) (int, error) {
		return f.told(ctx, events.SubjectNoteFound, contract.ConsumerFetch)
	}},
	{contract.StageSyncWorker, "sync", func(ctx context.Context, f *fleet) (int, error) { return f.sync(ctx) }},
	{allStages, "event", func(ctx context.Context, f *fleet) (int, error) {
		return f.publish(ctx, f.world.said[len(f.world.said)/2:], contract.ConsumerIngest, contract.ConsumerPublish,
			contract.ConsumerResolve, contract.ConsumerFetch, contract.ConsumerDiscovered, contract.ConsumerSync)
	}},
}

// share is what replicas have done in a phase.
type share struct {
	rate    float64 // jobs a second, by the wall
	cpu     float64 // µs of their processes for a job
	packets float64 // to the DHT, for a job
}

// replicas compares the CPU of a job with several replicas of each stage to that with
// one, which is how well they would use cores of their own.
func replicas(ctx context.Context, bin string, authors int) error {
	fmt.Printf("\n| replicas of each, %d authors | a job | jobs/s | CPU µs a job | efficiency per core |\n|---|---|---|---|---|\n", authors)
	alone := map[string]share{}
	for _, count := range []int{1, 2, 4} {
		measured, err := apart(ctx, bin, authors, count)
		if err != nil {
			return fmt.Errorf("%d replicas: %w", count, err)
		}
		if count == 1 {
			alone = measured
		}
		for _, p := range phases {
			m := measured[p.stage]
			fmt.Printf("| %d, %s | %s | %.1f | %.0f | %.2f |\n", count, p.stage, p.job, m.rate, m.cpu, alone[p.stage].cpu/m.cpu)
		}
		for _, p := range phases {
			if count > 1 {
				goal(fmt.Sprintf("efficiency per core of %d replicas, %s", count, p.stage), alone[p.stage].cpu/measured[p.stage].cpu, ">=", 0.8)
			}
		}
	}
	syncs, looked := alone[contract.StageSyncWorker], alone[contract.StageDHTWorker]
	fmt.Printf("sync jobs a minute: %.0f of one syncworker as it ran, %.0f of a core by its CPU\n", 60*syncs.rate, 60e6/syncs.cpu)
	fmt.Printf("1 M waiting authors, each with a record to be put and looked up, computed from %.0f µs of CPU and %.0f packets"+
		" of a DHT of %d nodes: %.1f h of one core, %.0f h of one dhtworker at %d packets a second\n",
		looked.cpu, looked.packets, dhtNodes, looked.cpu/3600, 1e6*looked.packets/dhtRate/3600, dhtRate)
	return nil
}

// apart measures so many replicas of each stage, beside a NATS server.
func apart(ctx context.Context, bin string, authors, count int) (measured map[string]share, err error) {
	w, err := newWorld(ctx, 2*authors)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	f := &fleet{bin: bin, world: w}
	defer f.stop()
	if err := f.start(ctx); err != nil {
		return nil, err
	}
	measured = map[string]share{}
	for _, p := range phases {
		from := len(f.workers)
		if p.stage == allStages {
			from = 0
		} else if err := f.add(ctx, p.stage, count); err != nil {
			return nil, err
		}
		before, began := f.used(from), time.Now()
		if err := f.resume(ctx, p.stage); err != nil {
			return nil, err
		}
		jobs, err := p.do(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.stage, err)
		}
		took, used := time.Since(began), f.used(from)
		measured[p.stage] = share{
			rate:    float64(jobs) / took.Seconds(),
			cpu:     float64((used.cpu - before.cpu).Microseconds()) / float64(jobs),
			packets: (used.packets - before.packets) / float64(jobs),
		}
	}
	return measured, f.sound(ctx)
}

// fleet is replicas of stages, processes of their own, in a world.
type fleet struct {
	bin     string
	world   *world
	server  *process
	js      jetstream.JetStream
	url     string
	workers []*worker
}

type worker struct {
	*process
	admin string
}

// start starts the NATS server.
func (f *fleet) start(ctx context.Context) (err error) {
	data, err := os.MkdirTemp(f.bin, "nats")
	if err != nil {
		return err
	}
	relaymesh := filepath.Join(f.bin, "relaymesh")
	if f.server, err = spawn(ctx, "nats://", relaymesh, "nats", "--data", data, "--listen", "127.0.0.1:0"); err != nil {
		return err
	}
	f.url = "nats://" + f.server.word
	if out, err := exec.CommandContext(ctx, relaymesh, "provision", "--nats", f.url).CombinedOutput(); err != nil {
		return fmt.Errorf("provision: %w\n%s", err, out)
	}
	f.js, err = connect(f.url)
	return err
}

// add starts replicas of a stage, which take no work yet.
func (f *fleet) add(ctx context.Context, stage string, count int) error {
	for c := range consumersOf(stage) {
		if _, err := f.js.PauseConsumer(ctx, c.Stream, c.Name, time.Now().Add(time.Hour)); err != nil {
			return err
		}
	}
	for range count {
		w := &worker{admin: loopback.Addr()}
		args := append([]string{"--nats", f.url, "--admin", w.admin}, f.world.flags(stage)...)
		var err error
		if w.process, err = spawn(ctx, `"started"`, filepath.Join(f.bin, stage), args...); err != nil {
			return err
		}
		f.workers = append(f.workers, w)
	}
	return nil
}

// resume has the replicas of a stage take work.
func (f *fleet) resume(ctx context.Context, stage string) error {
	for c := range consumersOf(stage) {
		if _, err := f.js.ResumeConsumer(ctx, c.Stream, c.Name); err != nil {
			return err
		}
	}
	return nil
}

func consumersOf(stage string) iter.Seq[contract.Consumer] {
	return func(yield func(contract.Consumer) bool) {
		for _, c := range contract.Consumers() {
			if c.Stage == stage && !yield(c) {
				return
			}
		}
	}
}

func (f *fleet) stop() {
	for _, w := range f.workers {
		w.stop()
	}
	if f.js != nil {
		f.js.Conn().Close()
	}
	if f.server != nil {
		f.server.stop()
	}
}

// usage is what processes have taken.
type usage struct {
	cpu     time.Duration
	packets float64
}

// used is what the workers from one on have taken so far.
func (f *fleet) used(from int) (u usage) {
	for _, w := range f.workers[from:] {
		u.cpu += w.cpu()
		u.packets += metric(w.admin, "relaymesh_dht_packets_sent_total")
	}
	return u
}

// publish publishes what authors say, and waits until consumers have handled it.
func (f *fleet) publish(ctx context.Context, said [][]nostr.Event, consumers ...string) (n int, err error) {
	for _, all := range said {
		for _, e := range all {
			if _, err := f.js.PublishAsync(events.SubjectEventReceived, nostr.Encode(e), jetstream.WithStallWait(time.Minute)); err != nil {
				return n, err
			}
			n++
		}
	}
	<-f.js.PublishAsyncComplete()
	return n, f.drained(ctx, consumers...)
}

// sync has each relay synced to which the authors have led, and then once more in each
// round, in which there is nothing new. It returns how many syncs have ended.
func (f *fleet) sync(ctx context.Context) (n int, err error) {
	for i := range syncRounds + 1 {
		for _, r := range f.world.far[:min(farRelays, len(f.world.said)/2)] { // to which somebody writes
			if i == 0 {
				break // they wait already
			}
			due := contract.SyncDue{URL: r.URL(), Cause: fmt.Sprint("round ", i)}
			if _, err := f.js.Publish(ctx, contract.SyncDueSubject(nostr.RelayKey(r.URL())), nostr.Encode(due)); err != nil {
				return 0, err
			}
		}
		if n, err = f.told(ctx, events.SubjectSyncFinished, contract.ConsumerDiscovered, contract.ConsumerSync); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// told waits until consumers have handled all, and returns how many outcomes of a kind
// there are since the begin.
func (f *fleet) told(ctx context.Context, outcome string, consumers ...string) (int, error) {
	if err := f.drained(ctx, consumers...); err != nil {
		return 0, err
	}
	stream, err := f.js.Stream(ctx, contract.StreamOutcome)
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(outcome))
	if err != nil {
		return 0, err
	}
	return int(info.State.Subjects[outcome]), nil //nolint:gosec // far below
}

// drained waits until nothing is left for consumers, in two looks at all of them: what one
// has done leads to work for another.
func (f *fleet) drained(ctx context.Context, names ...string) error {
	for idle := 0; idle < 2; time.Sleep(50 * time.Millisecond) {
		left := 0
		for _, c := range contract.Consumers() {
			if !slices.Contains(names, c.Name) {
				continue
			}
			consumer, err := f.js.Consumer(ctx, c.Stream, c.Name)
			if err != nil {
				return err
			}
			info := consumer.CachedInfo()
			left += int(info.NumPending) + info.NumAckPending //nolint:gosec // far below
		}
		if idle++; left > 0 {
			idle = 0
		}
	}
	return nil
}

// sound is an error if a message was given up, which would be a job that was not done.
func (f *fleet) sound(ctx context.Context) error {
	dead, err := f.js.Stream(ctx, contract.StreamDLQ)
	if err != nil {
		return err
	}
	if n := dead.CachedInfo().State.Msgs; n > 0 {
		return fmt.Errorf("%d dead letters", n)
	}
	return nil
}
