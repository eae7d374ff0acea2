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
	lapAuthors = 100 // whose work is done in a lap; of more, whom nobody knows yet, a process puts some off for 10 s
	syncRounds = 20  // of a lap, in which every relay is synced once more
	dhtRate    = 250 // packets a second, by default
	idle       = 3 * time.Second
	allStages  = "all stages"
)

// phases are what is measured of replicas: first one stage after the other, while what it
// leads to waits for the next, and then all at the same time. Each does so many jobs.
var phases = []struct {
	stage, job string
	do         func(ctx context.Context, f *fleet, said [][]nostr.Event) (jobs int, err error)
}{
	{contract.StageIngest, "event", func(ctx context.Context, f *fleet, said [][]nostr.Event) (int, error) {
		return f.publish(ctx, said, contract.ConsumerIngest)
	}},
	{contract.StageDHTWorker, "author", func(ctx context.Context, f *fleet, _ [][]nostr.Event) (int, error) {
		return f.told(ctx, events.SubjectRecordResolved, contract.ConsumerPublish, contract.ConsumerResolve)
	}},
	{contract.StageFetcher, "note", func(ctx context.Context, f *fleet, _ [][]nostr.Event) (int, error) {
		return f.told(ctx, events.SubjectNoteFound, contract.ConsumerFetch)
	}},
	{contract.StageSyncWorker, "sync", func(ctx context.Context, f *fleet, said [][]nostr.Event) (int, error) {
		return f.sync(ctx, min(farRelays, len(said)))
	}},
	{allStages, "event", func(ctx context.Context, f *fleet, said [][]nostr.Event) (int, error) {
		return f.publish(ctx, said, contract.ConsumerIngest, contract.ConsumerPublish, contract.ConsumerResolve,
			contract.ConsumerFetch, contract.ConsumerDiscovered, contract.ConsumerSync)
	}},
}

// lap is what the replicas of a stage have done in one.
type lap struct {
	jobs    int
	took    time.Duration
	cpu     time.Duration // of all its processes
	packets float64       // to the DHT
}

func (l lap) plus(o lap) lap {
	return lap{l.jobs + o.jobs, l.took + o.took, l.cpu + o.cpu, l.packets + o.packets}
}

// share is what replicas take: for each job once they are warm, and what else.
type share struct {
	rate    float64 // jobs a second, by the wall
	cpu     float64 // µs of their processes for a job, without once and idle
	packets float64 // to the DHT, for a job
	once    float64 // ms of a process that its first jobs took more
	idle    float64 // ms of a process in a second without work
	whole   float64 // µs of their processes for a job, with all that they took since they had started
}

// replicas compares the CPU of a job with several replicas of each stage to that with
// one, which is how well they would use cores of their own.
func replicas(ctx context.Context, bin string, authors int) error {
	fmt.Printf("\n| replicas of each, %d authors | a job | jobs/s | CPU µs a job | efficiency per core | ms a process once |"+
		" ms a process and second idle | µs a job, all in | efficiency of it |\n|---|---|---|---|---|---|---|---|---|\n", authors)
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
			m, one := measured[p.stage], alone[p.stage]
			fmt.Printf("| %d, %s | %s | %.1f | %.0f | %.2f | %.0f | %.1f | %.0f | %.2f |\n",
				count, p.stage, p.job, m.rate, m.cpu, one.cpu/m.cpu, m.once, m.idle, m.whole, one.whole/m.whole)
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
	f := &fleet{bin: bin, world: w, counted: map[string]int{}}
	defer f.stop()
	if err := f.start(ctx); err != nil {
		return nil, err
	}
	stages := phases[:len(phases)-1]
	for _, p := range stages {
		if err := f.add(ctx, p.stage, count); err != nil {
			return nil, err
		}
	}
	cold, warm := map[string]lap{}, map[string]lap{}
	laps := slices.Collect(slices.Chunk(w.said[:authors], lapAuthors))
	for i, said := range laps {
		for _, p := range stages {
			l, err := f.lap(ctx, p.stage, p.do, said)
			if err != nil {
				return nil, err
			}
			if i == 0 {
				cold[p.stage] = l
			} else {
				warm[p.stage] = warm[p.stage].plus(l)
			}
		}
	}
	rest := map[string]time.Duration{}
	for _, p := range phases {
		rest[p.stage] = -f.cpu(p.stage)
	}
	time.Sleep(idle)
	for _, p := range phases {
		rest[p.stage] += f.cpu(p.stage)
	}
	all := phases[len(phases)-1]
	for said := range slices.Chunk(w.said[authors:], lapAuthors) {
		l, err := f.lap(ctx, all.stage, all.do, said)
		if err != nil {
			return nil, err
		}
		warm[all.stage] = warm[all.stage].plus(l)
	}
	measured = map[string]share{}
	for _, p := range phases {
		measured[p.stage] = shareOf(cold[p.stage], warm[p.stage], rest[p.stage], count)
	}
	return measured, f.sound(ctx)
}

// shareOf is what laps and a time without work come to: the warm ones say what a job takes, and the
// first one, what a process takes once.
func shareOf(cold, warm lap, rest time.Duration, processes int) share {
	busy := func(l lap) float64 {
		return float64(l.cpu.Microseconds()) - float64(rest.Microseconds())*l.took.Seconds()/idle.Seconds()
	}
	s := share{
		rate:    float64(warm.jobs) / warm.took.Seconds(),
		cpu:     busy(warm) / float64(warm.jobs),
		packets: warm.packets / float64(warm.jobs),
		idle:    1e3 * rest.Seconds() / idle.Seconds() / float64(processes),
		whole:   float64((cold.cpu + warm.cpu).Microseconds()) / float64(cold.jobs+warm.jobs),
	}
	s.once = (busy(cold) - s.cpu*float64(cold.jobs)) / 1e3 / float64(processes)
	return s
}

// fleet is replicas of stages, processes of their own, in a world.
type fleet struct {
	bin     string
	world   *world
	server  *process
	js      jetstream.JetStream
	url     string
	workers []*worker
	counted map[string]int // outcomes by subject, up to the last look
}

type worker struct {
	*process
	stage, admin string
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
	if err := f.pause(ctx, stage); err != nil {
		return err
	}
	for range count {
		w := &worker{stage: stage, admin: loopback.Addr()}
		args := append([]string{"--nats", f.url, "--admin", w.admin}, f.world.flags(stage)...)
		var err error
		if w.process, err = spawn(ctx, `"started"`, filepath.Join(f.bin, stage), args...); err != nil {
			return err
		}
		f.workers = append(f.workers, w)
	}
	return nil
}

// lap has the replicas of a stage, or of all, do what there is to do, and nothing after it.
func (f *fleet) lap(
	ctx context.Context, stage string, do func(context.Context, *fleet, [][]nostr.Event) (int, error), said [][]nostr.Event,
) (l lap, err error) {
	packets, cpu, began := f.packets(stage), f.cpu(stage), time.Now()
	if err := f.resume(ctx, stage); err != nil {
		return l, err
	}
	if l.jobs, err = do(ctx, f, said); err != nil {
		return l, fmt.Errorf("%s: %w", stage, err)
	}
	// A look at the packets takes CPU, too.
	l.took, l.cpu, l.packets = time.Since(began), f.cpu(stage)-cpu, f.packets(stage)-packets
	return l, f.pause(ctx, stage)
}

func (f *fleet) pause(ctx context.Context, stage string) error {
	for c := range consumersOf(stage) {
		if _, err := f.js.PauseConsumer(ctx, c.Stream, c.Name, time.Now().Add(time.Hour)); err != nil {
			return err
		}
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
			if (c.Stage == stage || stage == allStages) && !yield(c) {
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

// of are the replicas of a stage.
func (f *fleet) of(stage string) iter.Seq[*worker] {
	return func(yield func(*worker) bool) {
		for _, w := range f.workers {
			if (w.stage == stage || stage == allStages) && !yield(w) {
				return
			}
		}
	}
}

// cpu is what the replicas of a stage have taken so far.
func (f *fleet) cpu(stage string) (used time.Duration) {
	for w := range f.of(stage) {
		used += w.cpu()
	}
	return used
}

// packets is how many the replicas of a stage have sent to the DHT so far.
func (f *fleet) packets(stage string) (sent float64) {
	for w := range f.of(stage) {
		sent += metric(w.admin, "relaymesh_dht_packets_sent_total")
	}
	return sent
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

// sync has the first relays, to which the authors have led, synced, and then once more in each
// round, in which there is nothing new. It returns how many syncs have ended.
func (f *fleet) sync(ctx context.Context, relays int) (n int, err error) {
	for i := range syncRounds + 1 {
		for _, r := range f.world.far[:relays] {
			if i == 0 {
				break // they wait already
			}
			due := contract.SyncDue{URL: r.URL(), Cause: fmt.Sprint("round ", i)}
			if _, err := f.js.Publish(ctx, contract.SyncDueSubject(nostr.RelayKey(r.URL())), nostr.Encode(due)); err != nil {
				return 0, err
			}
		}
		more, err := f.told(ctx, events.SubjectSyncFinished, contract.ConsumerDiscovered, contract.ConsumerSync)
		if err != nil {
			return 0, err
		}
		n += more
	}
	return n, nil
}

// told waits until consumers have handled all, and returns how many outcomes of a kind
// there are since the last time.
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
	all := int(info.State.Subjects[outcome]) //nolint:gosec // far below
	n := all - f.counted[outcome]
	f.counted[outcome] = all
	return n, nil
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
