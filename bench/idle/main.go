//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	period := flag.Duration("for", 30*time.Second, "how long nothing happens, and again as long")
	flag.Parse()
	if err := measure(ctx, *period); err != nil {
		fmt.Fprintln(os.Stderr, "bench/idle:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be stopped
	}
}

func measure(ctx context.Context, period time.Duration) error {
	dir, err := os.MkdirTemp("", "bench-idle")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin := filepath.Join(dir, "relaymesh")
	if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, "./cmd/relaymesh").CombinedOutput(); err != nil {
		return fmt.Errorf("build relaymesh: %w\n%s", err, out)
	}
	var whole, bare usage
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		whole, err = idle(ctx, period, bin, filepath.Join(dir, "whole"))
		return err
	})
	both.Go(func() (err error) {
		bare, err = idle(ctx, period, bin, filepath.Join(dir, "bare"), "--without", "ingest,dhtworker,syncworker,fetcher")
		return err
	})
	if err := both.Wait(); err != nil {
		return err
	}
	fmt.Print("| idle | memory (RSS), MiB | threads | CPU of a core |\n|---|---|---|---|\n")
	for _, r := range []struct {
		name string
		usage
	}{{"relaymesh up", whole}, {"without stages", bare}} {
		fmt.Printf("| %s | %.1f | %d | %.2f %% |\n", r.name, r.rss/1024, r.threads, 100*r.cpu)
	}
	const bound = 1.2
	state := "ok"
	if whole.rss > bound*bare.rss {
		state, err = "short", errors.New("a goal is missed")
	}
	fmt.Printf("goal memory of relaymesh up when idle, beside the same process without stages: %.2f (want <= %g) %s\n",
		whole.rss/bare.rss, bound, state)
	return err
}

// usage is what a process takes.
type usage struct {
	rss     float64 // KiB
	threads int
	cpu     float64 // cores, in the second of two periods
}

// idle runs a pipeline that nobody uses, whose DHT has no other node.
func idle(ctx context.Context, period time.Duration, bin, data string, args ...string) (u usage, err error) {
	cmd := exec.CommandContext(ctx, bin, append([]string{
		"up", "--data", data, "--relay-addr", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0",
		"--dht-listen", "127.0.0.1:0", "--dht-bootstrap", "127.0.0.1:9", "--admin", "127.0.0.1:0", "--log-level", "error",
	}, args...)...)
	told, err := cmd.StderrPipe()
	if err != nil {
		return u, err
	}
	if err := cmd.Start(); err != nil {
		return u, err
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}()
	for lines := bufio.NewScanner(told); ; {
		if !lines.Scan() {
			return u, fmt.Errorf("relaymesh up did not start: %w", lines.Err())
		}
		if strings.HasPrefix(lines.Text(), "relaymesh is up") {
			break
		}
	}
	if err := wait(ctx, period); err != nil {
		return u, err
	}
	before := ticks(cmd.Process.Pid)
	if err := wait(ctx, period); err != nil {
		return u, err
	}
	u.cpu = float64(ticks(cmd.Process.Pid)-before) / 100 / period.Seconds()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	for line := range bytes.Lines(status) {
		switch name, value, _ := strings.Cut(string(line), ":"); name {
		case "VmRSS":
			u.rss, _ = strconv.ParseFloat(strings.Fields(value)[0], 64)
		case "Threads":
			u.threads, _ = strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return u, err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ticks is the CPU time that a process has used, in hundredths of a second.
func ticks(pid int) (n int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	for _, field := range bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])[11:13] {
		used, _ := strconv.Atoi(string(field))
		n += used
	}
	return n
}
