//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func build(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir, "./cmd/relaymesh", "./cmd/ingest", "./cmd/dhtworker",
		"./cmd/fetcher", "./cmd/syncworker").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

const restarts = 3

// whole measures relaymesh up of which ingest alone runs, so that what it finds waits.
func whole(ctx context.Context, bin, data string, n int) (r row, err error) {
	admin := loopback.Addr()
	start := func() (*process, error) {
		return spawn(ctx, ", NATS ", filepath.Join(bin, "relaymesh"), "up", "--data", data, "--relay-addr", "127.0.0.1:0",
			"--nats-listen", "127.0.0.1:0", "--without", "dhtworker,syncworker,fetcher", "--admin", admin)
	}
	p, err := start()
	if err != nil {
		return r, err
	}
	defer func() { p.stop() }()
	js, err := connect(p.word)
	if err != nil {
		return r, err
	}
	// All of them wait, so that neither is part of what the other takes.
	if _, err := js.PauseConsumer(ctx, contract.StreamIntake, contract.ConsumerIngest, time.Now().Add(24*time.Hour)); err != nil {
		return r, err
	}
	if err := feed(js, n); err != nil {
		return r, err
	}
	before, began := p.cpu(), time.Now()
	if _, err := js.ResumeConsumer(ctx, contract.StreamIntake, contract.ConsumerIngest); err != nil {
		return r, err
	}
	if err := drained(ctx, js); err != nil {
		return r, err
	}
	r = row{authors: n, rate: float64(n) / time.Since(began).Seconds(), rss: p.rss()}
	r.cpu = float64((p.cpu() - before).Microseconds()) / float64(n)
	for info := range js.ListStreams(ctx).Info() {
		if strings.HasPrefix(info.Config.Name, "KV_") {
			r.kv += float64(info.State.Bytes) / float64(n)
		}
	}
	js.Conn().Close()
	p.stop()
	_ = filepath.WalkDir(data, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			if info, err := e.Info(); err == nil {
				r.disk += float64(info.Size()) / float64(n)
			}
		}
		return nil
	})
	for i := range restarts { // what else the machine does only adds to the quickest
		if i > 0 {
			p.stop()
		}
		began = time.Now()
		if p, err = start(); err != nil {
			return r, err
		}
		if took := time.Since(began); i == 0 || took < r.restart {
			r.restart, r.busy, r.rssAfter = took, p.cpu(), p.rss()
		}
	}
	r.counted, r.page, r.slowest, err = look(ctx, "http://"+admin, n)
	return r, err
}

func connect(url string) (jetstream.JetStream, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	return jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1000), jetstream.WithDefaultTimeout(time.Minute))
}

// feed publishes a list of three relays of a thousand by each of n fresh authors.
func feed(js jetstream.JetStream, n int) error {
	for i := range n {
		key, err := schnorr.NewSecret()
		if err != nil {
			return err
		}
		e := nostr.Event{Kind: 10002, CreatedAt: time.Now().Unix()}
		for j := range 3 {
			e.Tags = append(e.Tags, nostr.Tag{"r", fmt.Sprintf("wss://relay%d.example.com", (i*7+j*331)%1000)})
		}
		if err := key.SignEvent(&e); err != nil {
			return err
		}
		if _, err := js.PublishAsync(events.SubjectEventReceived, nostr.Encode(e), jetstream.WithStallWait(time.Minute)); err != nil {
			return err
		}
	}
	<-js.PublishAsyncComplete()
	return nil
}

// drained waits until ingest has handled all.
func drained(ctx context.Context, js jetstream.JetStream) error {
	for {
		s, err := js.Stream(ctx, contract.StreamIntake)
		if err != nil {
			return err
		}
		if s.CachedInfo().State.Msgs == 0 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

type process struct {
	cmd  *exec.Cmd
	word string
}

// spawn starts a process and waits for the word after a text in what it prints.
func spawn(ctx context.Context, text, name string, args ...string) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, name, args...)}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	err = p.cmd.Start()
	_ = w.Close()
	if err != nil {
		return nil, err
	}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("%s ended early: %w", name, err)
		}
		if _, rest, found := strings.Cut(line, text); found {
			go io.Copy(io.Discard, lines) //nolint:errcheck // so that it does not block
			p.word = strings.Trim(strings.Fields(rest)[0], ",")
			return p, nil
		}
	}
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}

// cpu is the CPU time that the process has used, of which /proc would tell in steps of 10 ms.
func (p *process) cpu() time.Duration {
	const cpuClock, sched = 3, 2 // CLOCKFD_MASK and CPUCLOCK_SCHED: see clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<cpuClock|sched), &t); err != nil { //nolint:gosec // a process id has 22 bits
		return 0
	}
	return time.Duration(t.Nano())
}

// rss is the memory of the process in MiB, with the pages of its files.
func (p *process) rss() float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}

// metric reads one from an admin endpoint; it is 0 where there is none.
func metric(admin, name string) (value float64) {
	resp, err := http.Get("http://" + admin + "/metrics") //nolint:noctx // it answers at once
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), name+" "); found {
			value, _ = strconv.ParseFloat(text, 64)
		}
	}
	return value
}
