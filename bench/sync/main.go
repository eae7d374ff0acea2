package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench/sync:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	number := func(i int) int { n, _ := strconv.Atoi(args[i]); return n }
	switch {
	case len(args) == 5 && args[0] == "relay":
		return serveRelays(args[1], number(2), number(3), number(4))
	case len(args) == 4 && args[0] == "go-nostr":
		return syncGoNostr(args[1], number(2), number(3))
	}
	b := bench{}
	flag.IntVar(&b.common, "common", 200_000, "events that both relays have")
	flag.IntVar(&b.own, "own", 1000, "events that only one of them has, each")
	flag.IntVar(&b.runs, "runs", 3, "runs of which the best counts")
	only := flag.Bool("mirror", false, "only make a group of relays equal")
	flag.Parse()
	return b.run(*only)
}

type bench struct {
	common, own, runs int
	relaymesh, self   string
	strfry            string // its binary, or ""
	missed            bool
}

func (b *bench) run(mirror bool) (err error) {
	dir, err := os.MkdirTemp("", "bench-sync-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	b.relaymesh = filepath.Join(dir, "relaymesh")
	build := exec.Command("go", "build", "-trimpath", "-o", b.relaymesh, "./cmd/relaymesh")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build relaymesh: %w\n%s", err, out)
	}
	if mirror {
		if err := b.mirror(); err != nil {
			return err
		}
		return b.verdict()
	}
	var ours, theirs, few, strfry cost
	contestants := map[*cost]func() (cost, error){
		&ours:   func() (cost, error) { return b.ours(b.common, "both", false, nil) },
		&few:    func() (cost, error) { return b.ours(b.common/10, "both", false, nil) },
		&theirs: b.theirs,
	}
	if b.strfry = os.Getenv("STRFRY"); b.strfry != "" {
		contestants[&strfry] = func() (cost, error) { return b.theirsInC("both", false) }
	}
	for range b.runs {
		for into, sync := range contestants {
			c, err := sync()
			if err != nil {
				return err
			}
			into.best(c)
		}
	}
	fmt.Printf("relaymesh sync: %d common and %d different events: %s, %d KiB to one relay, %d MiB\n", b.common, 2*b.own,
		ours.wall.Round(time.Millisecond), ours.bytes>>10, ours.peak>>20)
	fmt.Printf("go-nostr NegentropySync, one set in the process:   %s, %d KiB to one relay, %d MiB\n", theirs.wall.Round(time.Millisecond),
		theirs.bytes>>10, theirs.peak>>20)
	fmt.Printf("relaymesh sync: %d common events:              %s, %d MiB\n", b.common/10, few.wall.Round(time.Millisecond), few.peak>>20)
	if b.strfry != "" {
		fmt.Printf("strfry sync, one set in its database:              %s, %d KiB to one relay, %d MiB\n", strfry.wall.Round(time.Millisecond),
			strfry.bytes>>10, strfry.peak>>20)
		b.goal("wall time beside strfry", float64(ours.wall)/float64(strfry.wall), 0.8)
	} else {
		fmt.Println("strfry sync: left out, since STRFRY names no binary")
	}
	b.goal("wall time beside go-nostr", float64(ours.wall)/float64(theirs.wall), 1)
	b.goal("bytes beside a direct reconciliation", float64(ours.bytes)/float64(theirs.bytes), 1.3)
	b.goal("peak memory, MiB", float64(ours.peak)/(1<<20), 64)
	b.goal(fmt.Sprintf("peak memory of %d common beside %d", b.common, b.common/10), float64(ours.peak)/float64(few.peak), 1.1)
	if err := b.outage(ours); err != nil {
		return err
	}
	if err := b.wire(); err != nil {
		return err
	}
	if err := b.many(); err != nil {
		return err
	}
	if err := b.mirror(); err != nil {
		return err
	}
	return b.verdict()
}

// verdict fails if a goal was missed.
func (b *bench) verdict() error {
	if b.missed {
		return errors.New("a goal is missed")
	}
	return nil
}

// goal prints one line: what was measured and what is wanted, at most.
func (b *bench) goal(what string, measured, bound float64) {
	state := "ok"
	if measured > bound {
		state, b.missed = "short", true
	}
	fmt.Printf("goal %s: %.2f (want <= %g) %s\n", what, measured, bound, state)
}

// child starts this program in another role, and returns the lines it prints
// first.
func (b *bench) child(lines int, args ...string) (cmd *exec.Cmd, out []string, err error) {
	cmd = exec.Command(b.self, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if _, err = cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	for read := bufio.NewReader(pipe); len(out) < lines; {
		line, err := read.ReadString('\n')
		if err != nil {
			return nil, nil, fmt.Errorf("%q ended early: %w", args, err)
		}
		out = append(out, strings.TrimSpace(line))
	}
	return cmd, out, nil
}

func stop(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// relay starts a relay in another process.
func (b *bench) relay(name string, common int) (addr string, stopped func(), err error) {
	cmd, out, err := b.child(1, "relay", name, strconv.Itoa(common), strconv.Itoa(b.own), "1")
	if err != nil {
		return "", nil, err
	}
	return out[0], func() { stop(cmd) }, nil
}

// ours syncs two relays, both in other processes, in a direction. The link to the second
// may be prepared before.
func (b *bench) ours(common int, dir string, compressing bool, prepare func(*proxy)) (c cost, err error) {
	first, stopA, err := b.relay("a", common)
	if err != nil {
		return c, err
	}
	defer stopA()
	second, stopB, err := b.relay("b", common)
	if err != nil {
		return c, err
	}
	defer stopB()
	p, err := startProxy(second, compressing)
	if err != nil {
		return c, err
	}
	if prepare != nil {
		prepare(p)
	}
	cmd := exec.Command(b.relaymesh, "sync", "ws://"+first, "ws://"+p.addr, "--json", "--dir", dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if c, err = costOf(cmd); err != nil {
		return c, fmt.Errorf("relaymesh sync: %w: %s", err, out.String())
	}
	c.bytes = p.bytes.Load()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var summary struct {
		ToA      int  `json:"to_a"`
		ToB      int  `json:"to_b"`
		Complete bool `json:"complete"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &summary); err != nil {
		return c, err
	}
	i := slices.IndexFunc(directions, func(d direction) bool { return d.name == dir })
	if !summary.Complete || summary.ToA != b.own*directions[i].toA || summary.ToB != b.own*directions[i].toB {
		return c, fmt.Errorf("relaymesh sync: not everything was synced: %s", lines[len(lines)-1])
	}
	return c, nil
}

// theirs syncs a set in go-nostr's process with a relay.
func (b *bench) theirs() (c cost, err error) {
	addr, stopped, err := b.relay("b", b.common)
	if err != nil {
		return c, err
	}
	defer stopped()
	p, err := startProxy(addr, false)
	if err != nil {
		return c, err
	}
	cmd, _, err := b.child(1, "go-nostr", "ws://"+p.addr, strconv.Itoa(b.common), strconv.Itoa(b.own))
	if err != nil {
		return c, err
	}
	c, err = costOf(cmd)
	c.bytes = p.bytes.Load()
	return c, err
}

const (
	manyRelays = 50
	slots      = 16 // syncs at a time
)

// many syncs fifty relays into one, with and without one that accepts
// connections and says nothing.
func (b *bench) many() error {
	cmd, addrs, err := b.child(manyRelays, "relay", "many", "2000", "20", strconv.Itoa(manyRelays))
	if err != nil {
		return err
	}
	defer stop(cmd)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer silent.Close()
	hang := make(chan struct{})
	defer close(hang)
	go func() {
		_ = http.Serve(silent, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	}()
	var took [2]time.Duration // the best of the runs, which alternate
	for range b.runs {
		for i, list := range [][]string{addrs[1:], append([]string{silent.Addr().String()}, addrs[1:]...)} {
			home, stopped, err := b.relay("home", 2000)
			if err != nil {
				return err
			}
			d, err := b.all(home, list, silent.Addr().String())
			stopped()
			if err != nil {
				return err
			}
			if took[i] == 0 || d < took[i] {
				took[i] = d
			}
		}
	}
	fmt.Printf("%d relays into one: %s; with one more that stalls: %s\n", manyRelays-1, took[0].Round(time.Millisecond),
		took[1].Round(time.Millisecond))
	b.goal("time of 50 relays with one that stalls", float64(took[1])/float64(took[0]), 1.2)
	return nil
}

// all syncs every relay into one and returns when those that answer are done.
func (b *bench) all(home string, list []string, stalling string) (time.Duration, error) {
	begun, done, free := time.Now(), make(chan error, len(list)), make(chan struct{}, slots)
	waiting := 0
	var procs []*exec.Cmd
	for _, addr := range list {
		cmd := exec.Command(b.relaymesh, "sync", "ws://"+home, "ws://"+addr, "--dir", "down")
		cmd.Stderr = io.Discard
		procs = append(procs, cmd)
		if addr != stalling {
			waiting++
		}
		free <- struct{}{}
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		go func() {
			err := cmd.Wait()
			<-free
			if addr != stalling {
				done <- err
			}
		}()
	}
	var errs []error
	for range waiting {
		errs = append(errs, <-done)
	}
	took := time.Since(begun)
	for _, p := range procs {
		_ = p.Process.Kill()
	}
	return took, errors.Join(errs...)
}
