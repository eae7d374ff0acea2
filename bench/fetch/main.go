package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	gonostr "github.com/nbd-wtf/go-nostr"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench/fetch:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "relays" {
		n, _ := strconv.Atoi(args[1])
		return serveRelays(n)
	}
	n := flag.Int("n", 1000, "notes that are fetched, one after the other and again as many at once")
	atOnce := flag.Int("at-once", 32, "fetches at a time in the second round")
	flag.Parse()
	dir, err := os.MkdirTemp("", "bench-fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := start(dir, 4**n)
	if err != nil {
		return err
	}
	defer b.stop()
	return b.measure(*n, *atOnce)
}

type bench struct {
	world  world
	nc     *nats.Conn
	via    string           // URL of the gateway
	direct []*gonostr.Relay // connections of go-nostr to the holding relays
	procs  []*exec.Cmd
	short  bool
}

// start runs the relays and the pipeline.
func start(dir string, notes int) (b *bench, err error) {
	b = &bench{}
	defer func() {
		if err != nil {
			b.stop()
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return b, err
	}
	line, err := b.child("{", (*exec.Cmd).StdoutPipe, self, "relays", strconv.Itoa(notes))
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal([]byte(line), &b.world); err != nil {
		return b, err
	}
	bin := filepath.Join(dir, "relaymesh")
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/relaymesh")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return b, fmt.Errorf("build relaymesh: %w\n%s", err, out)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return b, err
	}
	gateway := free.Addr().String()
	free.Close()
	b.via = "ws://" + gateway
	line, err = b.child(", NATS ", (*exec.Cmd).StderrPipe, bin, "up", "--data", filepath.Join(dir, "data"), "--allow-private",
		"--relay-addr", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--gateway", gateway, "--without", "ingest,dhtworker,syncworker")
	if err != nil {
		return b, err
	}
	_, rest, _ := strings.Cut(line, ", NATS ")
	url, _, _ := strings.Cut(rest, ",")
	if b.nc, err = nats.Connect(url); err != nil {
		return b, fmt.Errorf("NATS at %q: %w", url, err)
	}
	if err := b.link(); err != nil {
		return b, fmt.Errorf("say where authors write: %w", err)
	}
	for i := range holding {
		r, err := gonostr.RelayConnect(context.Background(), b.world.Relays[i])
		if err != nil {
			return b, err
		}
		b.direct = append(b.direct, r)
	}
	return b, nil
}

// child starts a process and returns the first line with that text.
func (b *bench) child(text string, pipe func(*exec.Cmd) (io.ReadCloser, error), name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if _, err := cmd.StdinPipe(); err != nil {
		return "", err
	}
	out, err := pipe(cmd)
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	b.procs = append(b.procs, cmd)
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("%s ended early: %w", name, err)
		}
		if strings.Contains(line, text) {
			go io.Copy(io.Discard, lines) //nolint:errcheck // so that it does not block
			return strings.TrimSpace(line), nil
		}
	}
}

func (b *bench) stop() {
	if b.nc != nil {
		b.nc.Close()
	}
	for _, r := range b.direct {
		_ = r.Close()
	}
	for _, p := range b.procs {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
}

// measure fetches n notes one after the other, each beside a direct query, and
// then n others many at a time.
func (b *bench) measure(n, atOnce int) error {
	var ours, theirs []time.Duration
	for i := range n {
		for _, side := range []bool{i%2 == 0, i%2 != 0} { // so that neither always goes first
			begun, to := time.Now(), &ours
			err := error(nil)
			if side {
				err = b.fetch(i)
			} else {
				to = &theirs
				err = b.query(i)
			}
			if err != nil {
				return fmt.Errorf("note %d: %w", i, err)
			}
			*to = append(*to, time.Since(begun))
		}
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	var many []time.Duration
	var errs []error
	places := make(chan struct{}, atOnce)
	begun := time.Now()
	for i := n; i < 2*n; i++ {
		places <- struct{}{}
		wait.Go(func() {
			begun := time.Now()
			err := b.fetch(i)
			<-places
			mu.Lock()
			defer mu.Unlock()
			many, errs = append(many, time.Since(begun)), append(errs, err)
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	took := time.Since(begun)
	fmt.Printf("| %d notes | p50 ms | p90 | p99 | worst |\n|---|---|---|---|---|\n", n)
	row("relaymesh, one after the other", ours)
	row("go-nostr, asking the right relay", theirs)
	row(fmt.Sprintf("relaymesh, %d at a time (%.0f notes/s)", atOnce, float64(n)/took.Seconds()), many)
	direct := at(theirs, 50)
	b.goal("p50 of a missing note, ms", at(ours, 50), 50)
	b.goal("p99 of a missing note, ms", at(ours, 99), 400)
	b.goal(fmt.Sprintf("p50 beside 1.2 times the %.2f ms of a direct query plus 20, ms", direct), at(ours, 50), 1.2*direct+20)
	b.goal("p50 over a direct query, times", at(ours, 50)/direct, 7)
	if err := b.completion(n); err != nil {
		return err
	}
	if b.short {
		return errors.New("a goal is missed")
	}
	return nil
}

// link writes down that authors write to each of the relays, most of them to those that hold notes: there the pipeline asks for a
// note that is named by its id alone, as clients do.
func (b *bench) link() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js, err := jetstream.New(b.nc)
	if err != nil {
		return err
	}
	links, err := js.KeyValue(ctx, "links")
	if err != nil {
		return err
	}
	for i, url := range b.world.Relays {
		authors := 1
		if i < holding {
			authors = 2
		}
		sum := sha256.Sum256([]byte(url))
		for author := range authors {
			value, _ := json.Marshal(map[string]any{"url": url, "via": map[string]int64{"nip65": time.Now().Unix()}})
			if _, err := links.Put(ctx, fmt.Sprintf("%x.%064x", sum[:16], 1+author), value); err != nil {
				return err
			}
		}
	}
	return nil
}

// completion asks the gateway for n notes by REQs, and the service for n others by id alone, in turn: what one finds the other would
// find at the pipeline's own relay.
func (b *bench) completion(n int) error {
	client, err := gonostr.RelayConnect(context.Background(), b.via)
	if err != nil {
		return err
	}
	defer client.Close()
	var through, service []time.Duration
	for i := 2 * n; i < 4*n; i++ {
		begun := time.Now()
		if i%2 == 0 {
			err = b.ask(map[string]any{"event_id": b.world.Notes[i], "timeout_ms": 20_000}, i)
		} else {
			err = b.reqOf(client, i)
		}
		if err != nil {
			return fmt.Errorf("note %d by its id alone: %w", i, err)
		}
		to := &service
		if i%2 != 0 {
			to = &through
		}
		*to = append(*to, time.Since(begun))
	}
	row("the service, by the id alone", service)
	row("a REQ through the gateway", through)
	b.goal("p50 of a note through the gateway, over the service's own, ms", at(through, 50)-at(service, 50), 3)
	b.goal("p99 of a note through the gateway, ms", at(through, 99), 400)
	return nil
}

// reqOf asks for a note as clients do.
func (b *bench) reqOf(client *gonostr.Relay, i int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	list, err := client.QuerySync(ctx, gonostr.Filter{IDs: []string{b.world.Notes[i]}})
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("%d events before EOSE", len(list))
	}
	return err
}

// at returns a percentile in milliseconds.
func at(list []time.Duration, percent int) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return float64(sorted[min(len(sorted)*percent/100, len(sorted)-1)].Microseconds()) / 1000
}

func row(what string, list []time.Duration) {
	fmt.Printf("| %s | %.2f | %.2f | %.2f | %.2f |\n", what, at(list, 50), at(list, 90), at(list, 99), at(list, 100))
}

func (b *bench) goal(what string, measured, bound float64) {
	state := "ok"
	if measured > bound {
		state, b.short = "short", true
	}
	fmt.Printf("goal %s: %.2f (want <= %.4g) %s\n", what, measured, bound, state)
}

// fetch has the pipeline find a note.
func (b *bench) fetch(i int) error {
	hints := slices.Clone(b.world.Relays)
	rand.Shuffle(len(hints), func(i, j int) { hints[i], hints[j] = hints[j], hints[i] })
	return b.ask(map[string]any{
		"event_id": b.world.Notes[i], "author_pubkey": b.world.Author, "relays": hints, "timeout_ms": 20_000,
	}, i)
}

// ask asks the service for a note.
func (b *bench) ask(question map[string]any, i int) error {
	request, err := json.Marshal(question)
	if err != nil {
		return err
	}
	msg, err := b.nc.Request("relaymesh.note.fetch", request, 30*time.Second)
	if err != nil {
		return err
	}
	var response struct {
		Found bool
		Event *gonostr.Event
		Why   string
	}
	if err := json.Unmarshal(msg.Data, &response); err != nil {
		return fmt.Errorf("%w: %s %s", err, msg.Data, msg.Header)
	}
	if !response.Found || response.Event == nil || response.Event.ID != b.world.Notes[i] {
		return fmt.Errorf("not found: %s", response.Why)
	}
	return nil
}

// query asks the right relay with go-nostr.
func (b *bench) query(i int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	list, err := b.direct[i%holding].QuerySync(ctx, gonostr.Filter{IDs: []string{b.world.Notes[i]}})
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return fmt.Errorf("go-nostr got %d events", len(list))
	}
	return nil
}
