package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/bench/child"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	n := flag.Int("n", 500, "events, one after the other")
	flag.Parse()
	var err error
	if flag.Arg(0) == "relay" {
		err = child.ServeRelay(ctx, flag.Arg(1), slog.New(slog.DiscardHandler))
	} else {
		err = measure(ctx, *n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/live:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be stopped
	}
}

func measure(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "bench-live")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	other, there, err := child.Start("", os.Args[0], "relay", filepath.Join(dir, "there.db"))
	if err != nil {
		return err
	}
	defer other.Kill()
	fmt.Print("| ms after the other relay's own notice | p50 | p90 | p99 | worst |\n|---|---|---|---|---|\n")
	ours, err := relaymesh(ctx, dir, there, n)
	if err != nil {
		return err
	}
	row(fmt.Sprintf("relaymesh up, %d events", n), ours)
	var theirs []time.Duration
	if binary := os.Getenv(child.StrfryEnv); binary != "" {
		if theirs, err = router(ctx, binary, dir, there, n); err != nil {
			return err
		}
		row("strfry router", theirs)
	}
	missed := goal("p50 of an event followed live, ms after the other relay's own notice", at(ours, 50), 6)
	if theirs != nil {
		missed = goal("p50 of an event followed live, beside strfry router", at(ours, 50)/at(theirs, 50), 0.25) || missed
	}
	if missed {
		return errors.New("a goal is missed")
	}
	return nil
}

func row(what string, late []time.Duration) {
	fmt.Printf("| %s | %.2f | %.2f | %.2f | %.2f |\n", what, at(late, 50), at(late, 90), at(late, 99), at(late, 100))
}

// goal prints one line, what was measured and what is wanted, at most, and reports whether that is missed.
func goal(what string, measured, bound float64) (missed bool) {
	state := "ok"
	if missed = measured > bound; missed {
		state = "short"
	}
	fmt.Printf("goal %s: %.2f (want <= %g) %s\n", what, measured, bound, state)
	return missed
}

// relaymesh measures relaymesh up.
func relaymesh(ctx context.Context, dir, there string, n int) ([]time.Duration, error) {
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "streams:\n  there:\n    urls: [%s]\n", there), 0o600); err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "relaymesh")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/relaymesh").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build relaymesh: %w\n%s", err, out)
	}
	up, here, err := child.Start("relaymesh is up: relay ", bin, "up", "--data", filepath.Join(dir, "data"),
		"--allow-private", "--relay-addr", "127.0.0.1:0", "--nats-listen", "", "--without", "dhtworker", "--config", config)
	if err != nil {
		return nil, err
	}
	defer up.Kill()
	return lateness(ctx, there, strings.TrimSuffix(here, ","), n)
}

// router measures a relay of strfry, into whose database its router brings the events.
func router(ctx context.Context, binary, dir, there string, n int) ([]time.Duration, error) {
	relay, err := child.StartStrfry(ctx, binary, dir)
	if err != nil {
		return nil, err
	}
	defer relay.Kill()
	follows, err := relay.Follow(there)
	if err != nil {
		return nil, err
	}
	defer follows.Kill()
	return lateness(ctx, there, relay.URL, n)
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
	for i := 0; len(late) < warm+n; i++ {
		e := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix(), Content: fmt.Sprint("note ", i)}
		if err := key.SignEvent(&e); err != nil {
			return nil, err
		}
		if err := publisher.Write(ctx, websocket.MessageText, nostr.Message("EVENT", e)); err != nil {
			return nil, err
		}
		patience := time.Minute
		if len(late) == 0 { // perhaps it is not followed yet
			patience = time.Second
		}
		var at [2]time.Time
		for side := range heard {
			if at[side], err = await(ctx, heard[side], e.ID, patience); err != nil {
				break
			}
		}
		switch {
		case errors.Is(err, errMissing) && len(late) == 0 && i < 60:
		case err != nil:
			return nil, err
		default:
			late = append(late, at[1].Sub(at[0]))
		}
	}
	return late[warm:], nil
}

// notice is that a relay has sent an event to a subscriber.
type notice struct {
	id string
	at time.Time
}

var errMissing = errors.New("an event did not come")

// await returns when a relay has sent an event.
func await(ctx context.Context, heard <-chan notice, id string, patience time.Duration) (time.Time, error) {
	limit := time.After(patience)
	for {
		select {
		case n := <-heard:
			if n.id == id {
				return n.at, nil
			}
		case <-limit:
			return time.Time{}, fmt.Errorf("%w within %s", errMissing, patience)
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
