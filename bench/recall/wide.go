package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// lacks is of how many notes our relay lacks one in a wide world: what is measured is the looking, not the bringing.
const lacks = 100

// told is what the process of a world says at its beginning, a line of JSON. Begun lines of one event each follow.
type told struct {
	Home  string
	NATS  string
	Seeds []string
	Begun int
	Live  map[string]string // relays of which there is evidence, and which answer, and how they are
}

// asked is what it says at the end.
type asked struct {
	Most, Mean float64 // sessions with one relay in an hour
	Busiest    string  // how that relay is
	Reads      int     // of our relay for one slice in an hour
	Wire       int64   // bytes with all relays but ours
	Rest       [2]rest
}

// serveWorld is a world in a process of its own, which lets time pass up to each number that it reads.
func serveWorld(ctx context.Context, s size, seed uint64, in io.Reader, out io.Writer) (err error) {
	w, err := draw(s, seed)
	if err != nil {
		return err
	}
	home, err := w.atHome()
	if err != nil {
		return err
	}
	nats, err := startNATS(ctx)
	if err != nil {
		return err
	}
	defer nats.Close()
	begun := w.brought(home)
	for i := range w.notes {
		n := &w.notes[i]
		if n.at > begin || home.mine.at[i] > 0 || n.hint == 0 && i%lacks == 0 {
			continue
		}
		home.mine.at[i] = begin
		if n.hint > 0 { // so that it is heard of
			begun = append(begun, w.event(int32(i))) //nolint:gosec // few
		}
	}
	first := told{Home: home.url, NATS: nats.URL(), Seeds: w.seeds(), Begun: len(begun), Live: map[string]string{}}
	for _, p := range w.places {
		if p.serves() && p.evidence != "" {
			first.Live[p.url] = p.String()
		}
	}
	to := json.NewEncoder(out)
	if err := to.Encode(first); err != nil {
		return err
	}
	for _, e := range begun {
		if err := to.Encode(e); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var now int64
		if _, err := fmt.Sscan(lines.Text(), &now); err != nil {
			return err
		}
		home.await(w.pass(now))
		last := asked{Reads: home.mine.mostReads(), Rest: w.atRest()}
		for _, p := range w.places {
			last.Wire += p.wire.Load()
		}
		last.Most, last.Mean, last.Busiest = w.sessions()
		if err := to.Encode(last); err != nil {
			return err
		}
	}
	return lines.Err()
}

// startNATS starts a server with the buckets of the contract.
func startNATS(ctx context.Context) (*natsd.Server, error) {
	dir, err := os.MkdirTemp("", "bench-recall")
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = os.RemoveAll(dir) })
	s, err := natsd.Start(natsd.Config{Dir: dir, Listen: "127.0.0.1:0", MaxStore: contract.FullStore})
	if err != nil {
		return nil, err
	}
	nc, err := s.Connect("bench/recall")
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	_, err = bus.Provision(ctx, js, bus.ProvisionOptions{})
	return s, err
}

// natsBuckets are those of a server.
func natsBuckets(ctx context.Context, url string) (b buckets, err error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return b, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return b, err
	}
	context.AfterFunc(ctx, nc.Close)
	b.surveys = openBucket[contract.Survey](ctx, js, contract.BucketSurveys, &err)
	b.links = openBucket[contract.Link](ctx, js, contract.BucketLinks, &err)
	b.relays = openBucket[contract.Relay](ctx, js, contract.BucketRelays, &err)
	b.authors = openBucket[contract.Author](ctx, js, contract.BucketAuthors, &err)
	b.records = openBucket[contract.Record](ctx, js, contract.BucketRecords, &err)
	b.syncs = openBucket[contract.Sync](ctx, js, contract.BucketSyncs, &err)
	b.refused = openBucket[contract.Refused](ctx, js, contract.BucketRefused, &err)
	return b, err
}

// openBucket adds its error to those of others.
func openBucket[T any](ctx context.Context, js jetstream.JetStream, name string, failed *error) run.Store[T] {
	s, err := run.OpenStore[T](ctx, js, name, slog.New(slog.DiscardHandler))
	*failed = errors.Join(*failed, err)
	return s
}

// wide measures a day of many authors and relays: the worker is this process alone.
func wide(ctx context.Context, s size) error {
	run.BoundGarbage(run.AmpleForOne) // as a worker does
	cmd := exec.CommandContext(ctx, os.Args[0], append(os.Args[1:], "-serve")...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	from := json.NewDecoder(out)
	var first told
	var last asked
	if err := from.Decode(&first); err != nil {
		return errors.Join(err, cmd.Wait())
	}
	w := &world{size: s}
	w.clock.Store(begin)
	b, err := natsBuckets(ctx, first.NATS)
	if err != nil {
		return err
	}
	o := newOurs(w, first.Home, first.Seeds, 0, b) // as many bytes as a day takes
	o.begun = func(yield func(nostr.Event) bool) { // one at a time, which is not to be part of the worker's memory
		for range first.Begun {
			var e nostr.Event
			if err := from.Decode(&e); err != nil || !yield(e) {
				return
			}
		}
	}
	o.pass = func(_ context.Context, now int64) error {
		w.clock.Store(now)
		if _, err := fmt.Fprintln(in, now); err != nil {
			return err
		}
		return from.Decode(&last)
	}
	begun := time.Now()
	if err := o.run(ctx, func(int) {}); err != nil {
		return errors.Join(err, in.Close(), cmd.Wait())
	}
	took := time.Since(begun)
	seen, slices, err := o.lookedAt(ctx, first.Live) // while there is a server
	if err := errors.Join(err, in.Close(), cmd.Wait()); err != nil {
		return err
	}
	return o.wideFigures(seen, slices, len(first.Live), last, took, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
}

// lookedAt returns the share of pairs of a slice and a relay that were looked at, and how many slices there are. It
// tells of how many relays of each sort that is not so.
func (o *ours) lookedAt(ctx context.Context, relays map[string]string) (share float64, slices int, err error) {
	seen, missed := 0, map[string]int{}
	err = o.surveys.Each(ctx, "*", func(_ string, s contract.Survey) error {
		if s.Split {
			return nil
		}
		slices++
		for url, how := range relays {
			if s.Looks[nostr.RelayKey(url)].At > 0 {
				seen++
			} else {
				missed[how]++
			}
		}
		return nil
	})
	for how, n := range missed {
		fmt.Printf("  %6d times not looked at: a relay %s\n", n, how)
	}
	return float64(seen) / float64(max(slices*len(relays), 1)), slices, err
}

// wideFigures prints what a wide world took.
func (o *ours) wideFigures(seen float64, slices, relays int, last asked, took, theirs time.Duration) error {
	looks, failed := o.looks.Load(), o.lookFails.Load()
	ours := used()
	fmt.Printf("%d driven days took %.0f s: CPU %.0f s of the worker, %.0f of all relays\n",
		o.w.days, took.Seconds(), ours.Seconds(), theirs.Seconds())
	fmt.Printf("%d slices of %d authors; %d looks, of which %d failed, brought %d events; %.0f MiB of surveys, %.0f on the wire with all\n",
		slices, o.w.authors, looks, failed, o.looked.Load(), float64(o.bytes.Load())/(1<<20), float64(last.Wire)/(1<<20))
	each := ours.Seconds() / float64(max(looks, 1))
	const million, authors = 1e6, 488 // 2,048 slices
	passes := million / authors * float64(relays)
	fmt.Printf("computed for a million authors, each looked for once: %.2g looks at %d relays, %.0f ms of the worker each: "+
		"%.0f hours of a core; %.1f days at ten an hour and relay; %.0f GB of filters\n",
		passes, relays, 1e3*each, passes*each/3600, million/authors/10./24, million*float64(relays)*67/1e9)
	goal("share of relays looked at for each slice in that time", seen, ">=", 1)
	goal("wall time beside the driven time", took.Hours()/24/float64(o.w.days), "<=", 1)
	goal("memory of the worker at its peak, MiB", peak(), "<=", 128)
	restGoals(last.Rest)
	fmt.Printf("the relay with the busiest hour is %s\n", last.Busiest)
	goal("sessions with one relay in its busiest hour", last.Most, "<=", 12)
	goal("reads of the local relay for one slice in an hour", float64(last.Reads), "<=", 1)
	if missed {
		return errors.New("a goal is missed")
	}
	return nil
}

// used is the CPU time that this process has taken.
func used() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peak is the most memory that this process had, in MiB.
func peak() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kib float64
			_, _ = fmt.Sscan(rest, &kib)
			return kib / 1024
		}
	}
	return 0
}
