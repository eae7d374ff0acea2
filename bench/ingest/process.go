package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// processes measures the ingest binary in its three roles.
func (b *bench) processes() error {
	if err := b.build("relaymesh", "ingest"); err != nil {
		return err
	}
	like, err := recorded()
	if err != nil {
		return err
	}
	all, err := replay(like, b.events, signer{})
	if err != nil {
		return err
	}
	server := exec.Command(filepath.Join(b.dir, "relaymesh"), "nats", "--data", filepath.Join(b.dir, "nats"), "--listen", "127.0.0.1:0",
		"--log-level", "error")
	server.Stderr = os.Stderr
	url, err := firstLine(server)
	if err != nil {
		return err
	}
	defer stop(server)
	if out, err := exec.Command(filepath.Join(b.dir, "relaymesh"), "provision", "--nats", url).CombinedOutput(); err != nil {
		return fmt.Errorf("provision: %w\n%s", err, out)
	}
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1000))
	if err != nil {
		return err
	}
	bare, err := b.bare(js, all)
	if err != nil {
		return err
	}
	if err := b.stage(js, url, all, bare); err != nil || b.stageOnly {
		return err
	}
	if err := b.stdin(js, url, all); err != nil {
		return err
	}
	return b.plugin(js, server.Process, url, all)
}

// bare measures what an event takes at least, in microseconds: to be verified in a
// batch of 256, and delivered and acknowledged as the client library does.
func (b *bench) bare(js jetstream.JetStream, all []nostr.Event) (us float64, err error) {
	procs := runtime.GOMAXPROCS(1)
	verified, err := ours(all[:min(len(all), 10_240)], 256)
	runtime.GOMAXPROCS(procs)
	if err != nil {
		return 0, err
	}
	if err := publish(js, all); err != nil {
		return 0, err
	}
	consumer, err := js.Consumer(context.Background(), contract.StreamIntake, contract.ConsumerIngest)
	if err != nil {
		return 0, err
	}
	delivered, err := measure(len(all), func() error {
		done, left := make(chan error, 1), len(all)
		consuming, err := consumer.Consume(func(msg jetstream.Msg) {
			err := msg.Ack()
			if left--; left == 0 || err != nil {
				done <- err
			}
		}, jetstream.PullMaxMessages(256))
		if err != nil {
			return err
		}
		defer consuming.Stop()
		return <-done
	})
	fmt.Printf("at least: %.1f µs of CPU to verify an event, %.1f to get and acknowledge it\n", verified, delivered)
	return verified + delivered, err
}

// stage measures the stage itself: what comes on event.received goes out as
// facts and wake-ups. bare is what an event takes at least, in microseconds.
func (b *bench) stage(js jetstream.JetStream, url string, all []nostr.Event, bare float64) error {
	args := []string{"--nats", url, "--log-level", "error"}
	if b.profile != "" {
		args = append(args, "--admin", profiled)
	}
	p, err := b.ingest(nil, args...)
	if err != nil {
		return err
	}
	defer stop(p)
	// The first events make the connections and the authors.
	warm := len(all) / 10
	if err := b.through(js, all[:warm]); err != nil {
		return err
	}
	profile := b.beginProfile()
	before, began := cpuOf(p.Process), time.Now()
	if err := b.through(js, all[warm:]); err != nil {
		return err
	}
	took, wall := cpuOf(p.Process)-before, time.Since(began)
	n := len(all) - warm
	fmt.Printf("ingest, %d new events: %.1f µs of CPU each, %.0f/s by the wall, peak memory %d MiB\n", n, us(took, n),
		float64(n)/wall.Seconds(), peak(p.Process)>>20)
	if err := profile(); err != nil {
		return err
	}
	b.least("new events/s/core through NATS and out again", 1e6/us(took, n), 10_000)
	b.most("CPU of a new event, over verification at 256 and bare delivery", us(took, n)/bare, 1.6)

	before = cpuOf(p.Process)
	if err := b.through(js, all[warm:]); err != nil {
		return err
	}
	fmt.Printf("ingest, the same events again, past the server's window: %.1f µs of CPU each\n", us(cpuOf(p.Process)-before, n))
	return nil
}

// profiled is where the stage serves its profiles.
const profiled = "127.0.0.1:6061"

// beginProfile begins to profile the stage, for two seconds, if it is to be. The
// returned function waits for that, and adds what was allocated until then.
func (b *bench) beginProfile() (end func() error) {
	if b.profile == "" {
		return func() error { return nil }
	}
	save := func(what, suffix string) error {
		resp, err := http.Get("http://" + profiled + "/debug/pprof/" + what)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		return os.WriteFile(b.profile+suffix, data, 0o600)
	}
	cpu := make(chan error, 1)
	go func() { cpu <- save("profile?seconds=2", ".cpu") }()
	return func() error { return errors.Join(<-cpu, save("allocs", ".allocs")) }
}

// through publishes events, without a Nats-Msg-Id, and waits until ingest has
// handled them.
func (b *bench) through(js jetstream.JetStream, all []nostr.Event) error {
	if err := publish(js, all); err != nil {
		return err
	}
	for {
		s, err := js.Stream(context.Background(), contract.StreamIntake)
		if err != nil {
			return err
		}
		if s.CachedInfo().State.Msgs == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func publish(js jetstream.JetStream, all []nostr.Event) error {
	for i := range all {
		if _, err := js.PublishAsync(events.SubjectEventReceived, nostr.Encode(all[i]), jetstream.WithStallWait(time.Minute)); err != nil {
			return err
		}
	}
	<-js.PublishAsyncComplete()
	return nil
}

// stdin measures how duplicates are passed over: a file of which nine in ten
// lines are.
func (b *bench) stdin(js jetstream.JetStream, url string, all []nostr.Event) error {
	distinct := all[:min(len(all), 10_000)]
	var once bytes.Buffer
	for i := range distinct {
		once.Write(append(nostr.Encode(distinct[i]), '\n'))
	}
	run := func(times int) (took time.Duration, err error) {
		file := filepath.Join(b.dir, "events.jsonl")
		if err := os.WriteFile(file, bytes.Repeat(once.Bytes(), times), 0o600); err != nil {
			return 0, err
		}
		in, err := os.Open(file)
		if err != nil {
			return 0, err
		}
		defer in.Close()
		p, err := b.ingest(in, "stdin", "--nats", url, "--log-level", "error")
		if err != nil {
			return 0, err
		}
		if err := p.Wait(); err != nil {
			return 0, err
		}
		stream, err := js.Stream(context.Background(), contract.StreamIntake)
		if err != nil {
			return 0, err
		}
		return p.ProcessState.SystemTime() + p.ProcessState.UserTime(), stream.Purge(context.Background())
	}
	const more = 50
	first, err := run(1)
	if err != nil {
		return err
	}
	repeated, err := run(1 + more)
	if err != nil {
		return err
	}
	n := more * len(distinct)
	fmt.Printf("ingest stdin: %.1f µs of CPU for a new event, %.2f µs for a duplicate\n", us(first, len(distinct)), us(repeated-first, n))
	b.least("duplicates/s/core", 1e6/us(repeated-first, n), 150_000)
	return nil
}

// plugin measures the memory of the plugin while NATS does not answer for as
// many events as come in a minute at 1,600 a second.
func (b *bench) plugin(js jetstream.JetStream, server *os.Process, url string, all []nostr.Event) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	p, err := b.ingest(r, "plugin", "--nats", url, "--log-level", "error")
	if err != nil {
		return err
	}
	defer stop(p)
	if err := server.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	const n = 60 * 1600
	began := time.Now()
	for i := range n {
		e := all[i%len(all)]
		e.ID = fmt.Sprintf("%064x", i) // the plugin leaves verification to ingest
		if _, err := fmt.Fprintf(w, `{"event":%s,"receivedAt":1700000000,"sourceInfo":"127.0.0.1","sourceType":"IP4","type":"new"}`+"\n",
			nostr.Encode(e)); err != nil {
			return err
		}
	}
	took := time.Since(began)
	held := peak(p.Process)
	if err := server.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	stored, err := b.waitFor(js, n)
	fmt.Printf("ingest plugin, %d events while NATS stands still: answered in %.0f µs each, peak memory %d MiB, %d stored afterwards\n", n,
		us(took, n), held>>20, stored)
	b.most("peak memory of the plugin after a minute of 1,600 events/s, MiB", float64(held)/(1<<20), 512)
	b.most("events lost by it", float64(n-stored), 0)
	return err
}

// waitFor waits until n messages are in the intake stream, at most a minute.
func (b *bench) waitFor(js jetstream.JetStream, n int) (stored int, err error) {
	for deadline := time.Now().Add(time.Minute); stored < n && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		s, err := js.Stream(context.Background(), contract.StreamIntake)
		if err != nil {
			continue // it is catching up
		}
		stored = int(s.CachedInfo().State.Msgs)
	}
	return stored, err
}

func us(d time.Duration, n int) float64 { return float64(d.Nanoseconds()) / float64(n) / 1000 }

func (b *bench) build(names ...string) error {
	args := []string{"build", "-trimpath", "-o", b.dir + "/"}
	for _, name := range names {
		args = append(args, "./cmd/"+name)
	}
	build := exec.Command("go", args...)
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

func (b *bench) ingest(in io.Reader, args ...string) (*exec.Cmd, error) {
	p := exec.Command(filepath.Join(b.dir, "ingest"), args...)
	p.Stdin, p.Stderr = in, os.Stderr
	return p, p.Start()
}

func stop(p *exec.Cmd) {
	_ = p.Process.Signal(syscall.SIGTERM)
	_ = p.Wait()
}

// firstLine starts a program and returns the first line that it prints.
func firstLine(p *exec.Cmd) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	p.Stdout = w
	if err := p.Start(); err != nil {
		return "", err
	}
	w.Close()
	var line []byte
	for one := make([]byte, 1); ; {
		if _, err := r.Read(one); err != nil {
			return "", fmt.Errorf("%s ended: %w", p.Path, err)
		}
		if one[0] == '\n' {
			return string(line), nil
		}
		line = append(line, one[0])
	}
}

// cpuOf is the CPU time that a process has used.
func cpuOf(p *os.Process) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100) // clock ticks
}

// peak is the most memory that a process has held, in bytes.
func peak(p *os.Process) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}
