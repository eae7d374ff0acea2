//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/bench/child"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

type bench struct {
	round  time.Duration
	rounds int
	rate   float64 // at half load; 0 for half of what saturates the relay directly
	slice  time.Duration
	slices int
	idle   int
	live   time.Duration

	relay, via               string // URLs
	relayProcess, viaProcess *child.Process
	missed                   bool
}

// self starts this program as another, and returns the URL that it prints.
func self(args ...string) (p *child.Process, url string, err error) {
	return child.Start("", os.Args[0], append([]string{"serve"}, args...)...)
}

func (b *bench) measure() (err error) {
	name := "khatru"
	if binary := os.Getenv(child.StrfryEnv); binary != "" {
		name = "strfry"
		dir, err := os.MkdirTemp("", "bench-gateway")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		s, err := child.StartStrfry(context.Background(), binary, dir)
		if err != nil {
			return err
		}
		b.relayProcess, b.relay = s.Process, s.URL
	} else if b.relayProcess, b.relay, err = self("relay"); err != nil {
		return err
	}
	defer b.relayProcess.Kill()
	if b.viaProcess, b.via, err = self("gateway", b.relay); err != nil {
		return err
	}
	defer b.viaProcess.Kill()
	fmt.Printf("%s, directly and through the gateway\n", name)
	l, err := b.fill()
	if err != nil {
		return err
	}
	for _, part := range []func(*load) error{b.mix, b.large, b.completion, b.idleConnections} {
		if err := part(l); err != nil {
			return err
		}
	}
	if b.missed {
		return errors.New("a goal is missed")
	}
	return nil
}

// fill gives the relay 1,000 notes and keeps more for the rounds.
func (b *bench) fill() (*load, error) {
	const stored = 1000
	all := notes(stored + 60_000) // a quiet machine takes a thousand a second, in 36 s
	var at atomic.Int64
	l := &load{at: all[0].CreatedAt, next: func() *nostr.Event {
		if i := at.Add(1) - 1; int(i) < len(all) {
			return &all[i]
		}
		return nil
	}}
	ctx := context.Background()
	c, err := dial(ctx, b.relay, 0)
	if err != nil {
		return nil, err
	}
	defer c.close()
	for range stored {
		if _, err := c.ask(ctx, `["EVENT",`+string(nostr.Encode(l.next()))+`]`, `["OK"`); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// sums are of several rounds.
type sums struct {
	figures

	ops        int
	relay, via time.Duration // of CPU
}

// both drives rounds directly and through the gateway in turn.
func (b *bench) both(l *load) (direct, through sums, err error) {
	for i := range 2 * b.rounds {
		url, to := b.relay, &direct
		if (i+i/2)%2 == 1 { // so that neither always goes first
			url, to = b.via, &through
		}
		relay, via := b.relayProcess.CPU(), b.viaProcess.CPU()
		f, err := l.drive(url, b.round)
		if err != nil {
			return direct, through, err
		}
		to.took = append(to.took, f.took...)
		to.rate += f.rate / float64(b.rounds)
		to.ops += len(f.took)
		to.relay += b.relayProcess.CPU() - relay
		to.via += b.viaProcess.CPU() - via
	}
	sortAll(&direct, &through)
	return direct, through, nil
}

// calm is the mix at a rate of an open loop. Slices of both ways take turns on connections that stay open, and each way has the
// median of its slices: what else the machine does in some of them tells for neither.
func (b *bench) calm(l *load, rate float64) error {
	ways := [2]struct {
		url     string
		clients []*client
		slices  []figures
	}{{url: b.relay}, {url: b.via}}
	for i := range ways {
		var err error
		ways[i].clients, err = dialAll(ways[i].url)
		for _, c := range ways[i].clients {
			defer c.close()
		}
		if err != nil {
			return err
		}
	}
	for i := range 2 * b.slices {
		way := &ways[(i+i/2)%2] // so that neither always goes first
		f, err := l.offer(way.clients, rate, b.slice)
		if err != nil {
			return err
		}
		way.slices = append(way.slices, f)
	}
	of := func(way int, value func(figures) float64) (list []float64) {
		for _, f := range ways[way].slices {
			list = append(list, value(f))
		}
		slices.Sort(list)
		return list
	}
	median := func(way int, value func(figures) float64) float64 { return of(way, value)[b.slices/2] }
	p99 := func(f figures) float64 { return f.at(99) }
	fmt.Printf("half load, %.0f a second, %d slices of %v each way in turn:\n", rate, b.slices, b.slice)
	for i, name := range []string{"directly", "through the gateway"} {
		list := of(i, p99)
		fmt.Printf("%s: p50 %.2f ms; p99 %.2f ms, of a quarter of the slices below %.2f, of another above %.2f\n", name,
			median(i, func(f figures) float64 { return f.at(50) }), list[len(list)/2], list[len(list)/4], list[len(list)*3/4])
	}
	rateOf := func(f figures) float64 { return f.rate }
	b.goal("rate at half load, beside direct", median(1, rateOf)/median(0, rateOf), 0.98, true)
	b.goal("p99 at half load over direct, ms", median(1, p99)-median(0, p99), 1, false)
	return nil
}

// mix is the mix, at saturation and at half of that.
func (b *bench) mix(l *load) error {
	fmt.Println("| mix | ops/s | p50 ms | p99 | CPU of the relay, us/op | of the gateway |\n|---|---|---|---|---|---|")
	direct, through, err := b.both(l)
	if err != nil {
		return err
	}
	row("saturated, directly", direct)
	row("saturated, through the gateway", through)
	half := b.rate
	if half == 0 {
		half = direct.rate / 2
	}
	if err := b.calm(l, half); err != nil {
		return err
	}
	b.goal("rate at saturation, beside direct", through.rate/direct.rate, 0.6, true)
	b.cpuGoal("CPU of the gateway beside the relay's, mix", through, 0.7)
	return nil
}

// large are REQs of 500 events.
func (b *bench) large(l *load) error {
	big := *l
	big.big = true
	direct, through, err := b.both(&big)
	if err != nil {
		return err
	}
	row("REQs of 500, directly", direct)
	row("REQs of 500, through the gateway", through)
	b.cpuGoal("CPU of the gateway beside the relay's, REQs of 500", through, 0.4)
	return nil
}

// completion measures what a REQ waits beside the lookup itself.
func (b *bench) completion(*load) error {
	ctx := context.Background()
	c, err := dial(ctx, b.via, 0)
	if err != nil {
		return err
	}
	defer c.close()
	var s sums
	for id := range elsewhere() {
		begun := time.Now()
		n, err := c.ask(ctx, `["REQ","c",{"ids":["`+id+`"]}]`, `["EOSE"`)
		if err != nil || n != 1 {
			return fmt.Errorf("completed by %d events: %w", n, err)
		}
		s.took = append(s.took, time.Since(begun)-fetchTakes)
	}
	sortAll(&s)
	b.goal("p50 of a note that is elsewhere, over the lookup's own, ms", s.at(50), 3, false)
	for _, goal := range []struct {
		what string
		most float64
	}{{"20 ids that nobody has, the first time, ms", 1600}, {"the second time, ms", 50}} {
		var ids []string
		for i := range 20 {
			ids = append(ids, fmt.Sprintf(`"%s%060x"`, slow, i))
		}
		begun := time.Now()
		if _, err := c.ask(ctx, `["REQ","v",{"ids":[`+strings.Join(ids, ",")+`]}]`, `["EOSE"`); err != nil {
			return err
		}
		b.goal(goal.what, float64(time.Since(begun).Microseconds())/1000, goal.most, false)
	}
	return nil
}

// idleConnections measures what connections take that do nothing, and then what all of them take as each gets an event a second.
func (b *bench) idleConnections(*load) error {
	count := b.withinFiles(b.idle)
	before := resident(b.viaProcess.PID())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	clients := make([]*client, count)
	var group errgroup.Group
	group.SetLimit(64)
	for i := range clients {
		group.Go(func() error {
			c, err := dial(ctx, b.via, 1+i/200)
			if err != nil {
				return err
			}
			context.AfterFunc(ctx, c.close)
			clients[i] = c
			_, err = c.ask(ctx, fmt.Sprintf(`["REQ","i",{"kinds":[%d]}]`, liveKind), `["EOSE"`)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	each := float64(resident(b.viaProcess.PID())-before) / float64(count) / 1024
	b.goal(fmt.Sprintf("%d idle connections with a subscription, KiB each", count), each, 30, false)
	return b.liveSubscriptions(ctx, clients)
}

// spareFiles is how many of its files a gateway keeps for other things than clients, which take two each.
func spareFiles(files int) int { return files/50 + 100 }

// raiseFiles lets this process and its children have as many files open as a gateway needs for so many clients. Beyond the hard
// limit root may go, or not, as in some containers: then it stays, and there are fewer clients.
func raiseFiles(clients int) {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	files := 2 * clients
	want := uint64(files + 2*spareFiles(files)) //nolint:gosec // not negative
	if limit.Cur >= want {
		return
	}
	limit.Cur, limit.Max = want, max(limit.Max, want)
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// withinFiles is how many clients a gateway may have that has as many files as this process.
func (b *bench) withinFiles(count int) int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return count
	}
	files := int(limit.Cur) //nolint:gosec // the kernel's bound is far below
	most := (files - spareFiles(files)) / 2
	if most < count {
		fmt.Printf("%d clients rather than %d, since a process may have %d files open here\n", most, count, files)
	}
	return min(count, most)
}

// liveKind is ephemeral: our khatru broadcasts no others.
const liveKind = 20007

// liveSubscriptions publishes an event a second that every client gets.
func (b *bench) liveSubscriptions(ctx context.Context, clients []*client) error {
	author, err := dial(ctx, b.relay, 0)
	if err != nil {
		return err
	}
	defer author.close()
	const rounds = 3 // of which the first tells how much is held then
	seconds := max(int(b.live.Seconds())/rounds, 1)
	var held [rounds]float64
	var slowest time.Duration
	for round := range held {
		for i := range seconds {
			next := time.NewTimer(time.Second)
			e := sign(fmt.Sprintf("%064x", 5000), nostr.Event{Kind: liveKind, CreatedAt: time.Now().Unix(), Content: fmt.Sprint(round, i)})
			begun := time.Now()
			if _, err := author.ask(ctx, `["EVENT",`+string(nostr.Encode(e))+`]`, `["OK"`); err != nil {
				return err
			}
			var group errgroup.Group
			for _, c := range clients {
				group.Go(func() error { return c.expect(ctx, e.ID) })
			}
			if err := group.Wait(); err != nil {
				return fmt.Errorf("a live event is lost: %w", err)
			}
			slowest = max(slowest, time.Since(begun))
			<-next.C
		}
		held[round] = float64(resident(b.viaProcess.PID())) / float64(len(clients)) / 1024
	}
	fmt.Printf("%d live subscriptions: %d events to each, all of them in order, the last client after %v\n",
		len(clients), rounds*seconds, slowest.Round(time.Millisecond))
	b.goal("growth from a third of that to the end, KiB each", held[rounds-1]-held[0], 1, false)
	return nil
}

func sortAll(all ...*sums) {
	for _, s := range all {
		slices.Sort(s.took)
	}
}

func row(what string, s sums) {
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(max(s.ops, 1)) }
	fmt.Printf("| %s | %.0f | %.2f | %.2f | %.0f | %.0f |\n", what, s.rate, s.at(50), s.at(99), per(s.relay), per(s.via))
}

func (b *bench) cpuGoal(what string, s sums, most float64) {
	b.goal(what, float64(s.via)/float64(max(s.relay, 1)), most, false)
}

func (b *bench) goal(what string, measured, bound float64, least bool) {
	state, sign := "ok", "<="
	if least {
		sign = ">="
	}
	if measured > bound != least && measured != bound {
		state, b.missed = "short", true
	}
	fmt.Printf("goal %s: %.2f (want %s %.4g) %s\n", what, measured, sign, bound, state)
}

// resident is the memory of a process in bytes.
func resident(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(data))[1])
	return pages * os.Getpagesize()
}
