package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	n := flag.Int("n", 500, "events, one after the other")
	flag.Parse()
	var err error
	if flag.Arg(0) == "relay" {
		err = serve(ctx, flag.Arg(1))
	} else {
		err = measure(ctx, *n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/live:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be stopped
	}
}

// serve runs a relay until it is interrupted, and prints its URL.
func serve(ctx context.Context, path string) error {
	run.BoundGarbage(run.AmpleForAll) // as relaymesh up does
	r, err := homerelay.Start(ctx, homerelay.Config{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer r.Close()
	fmt.Println(r.URL())
	<-ctx.Done()
	return nil
}

func measure(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "bench-live")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	defer func() {
		for _, c := range children {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}()
	there, err := start(ctx, (*exec.Cmd).StdoutPipe, "", os.Args[0], "relay", filepath.Join(dir, "there.db"))
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "streams:\n  there:\n    urls: [%s]\n", there), 0o600); err != nil {
		return err
	}
	bin := filepath.Join(dir, "relaymesh")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/relaymesh").CombinedOutput(); err != nil {
		return fmt.Errorf("build relaymesh: %w\n%s", err, out)
	}
	here, err := start(ctx, (*exec.Cmd).StderrPipe, "relaymesh is up: relay ", bin, "up", "--data", filepath.Join(dir, "data"),
		"--allow-private", "--relay-addr", "127.0.0.1:0", "--nats-listen", "", "--without", "dhtworker", "--config", config)
	if err != nil {
		return err
	}
	late, err := lateness(ctx, there, strings.TrimSuffix(here, ","), n)
	if err != nil {
		return err
	}
	fmt.Print("| ms after the other relay's own notice | p50 | p90 | p99 | worst |\n|---|---|---|---|---|\n")
	fmt.Printf("| %d events | %.2f | %.2f | %.2f | %.2f |\n", n, at(late, 50), at(late, 90), at(late, 99), at(late, 100))
	const bound = 6
	state := "ok"
	if at(late, 50) > bound {
		state, err = "short", errors.New("a goal is missed")
	}
	fmt.Printf("goal p50 of an event followed live, ms after the other relay's own notice: %.2f (want <= %d) %s\n",
		at(late, 50), bound, state)
	return err
}

// children are the processes that run.
var children []*exec.Cmd

// start runs a process until the end, and returns the word after a text in what it
// prints.
func start(ctx context.Context, pipe func(*exec.Cmd) (io.ReadCloser, error), text, name string, args ...string) (word string, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	out, err := pipe(cmd)
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	children = append(children, cmd)
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("%s ended early: %w", name, err)
		}
		if _, rest, found := strings.Cut(line, text); found {
			go io.Copy(io.Discard, lines) //nolint:errcheck // so that it does not block
			return strings.Fields(rest)[0], nil
		}
	}
}

// lateness publishes events there, each once the one before has come here, and returns
// how much later each was heard of here than there.
func lateness(ctx context.Context, there, here string, n int) (late []time.Duration, err error) {
	key, err := schnorr.NewSecret()
	if err != nil {
		return nil, err
	}
	heard := [2]chan notice{make(chan notice, n+1000), make(chan notice, n+1000)}
	for i, url := range []string{there, here} {
		if err := listen(ctx, url, heard[i]); err != nil {
			return nil, err
		}
	}
	publisher, _, err := websocket.Dial(ctx, there, nil)
	if err != nil {
		return nil, err
	}
	defer publisher.CloseNow() //nolint:errcheck // it is gone either way
	go drain(ctx, publisher)
	const warm = 20
	for i := range warm + n {
		e := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix(), Content: fmt.Sprint("note ", i)}
		if err := key.SignEvent(&e); err != nil {
			return nil, err
		}
		if err := publisher.Write(ctx, websocket.MessageText, nostr.Message("EVENT", e)); err != nil {
			return nil, err
		}
		var at [2]time.Time
		for side := range heard {
			if at[side], err = await(ctx, heard[side], e.ID); err != nil {
				return nil, err
			}
		}
		if i >= warm { // before it is followed, a sync brings it
			late = append(late, at[1].Sub(at[0]))
		}
	}
	return late, nil
}

// notice is that a relay has sent an event to a subscriber.
type notice struct {
	id string
	at time.Time
}

// await returns when a relay has sent an event.
func await(ctx context.Context, heard <-chan notice, id string) (time.Time, error) {
	limit := time.After(time.Minute)
	for {
		select {
		case n := <-heard:
			if n.id == id {
				return n.at, nil
			}
		case <-limit:
			return time.Time{}, errors.New("an event did not come within a minute")
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

// listen subscribes to what comes from now on.
func listen(ctx context.Context, url string, heard chan<- notice) error {
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return err
	}
	if err := ws.Write(ctx, websocket.MessageText, []byte(`["REQ","live",{"kinds":[1],"limit":0}]`)); err != nil {
		return err
	}
	go func() {
		for {
			_, data, err := ws.Read(ctx)
			if err != nil {
				return
			}
			if at := time.Now(); bytes.HasPrefix(data, []byte(`["EVENT"`)) {
				id, _ := nostr.PeekID(data[bytes.IndexByte(data, '{') : len(data)-1])
				heard <- notice{id, at}
			}
		}
	}()
	return nil
}

func drain(ctx context.Context, ws *websocket.Conn) {
	for {
		if _, _, err := ws.Read(ctx); err != nil {
			return
		}
	}
}

// at returns a percentile in milliseconds.
func at(list []time.Duration, percent int) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return float64(sorted[min(len(sorted)*percent/100, len(sorted)-1)].Microseconds()) / 1000
}
