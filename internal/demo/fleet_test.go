package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// fleet is the pipeline as operators scale it: a NATS server, two of each
// worker, all processes of their own, beside a relay.
type fleet struct {
	server  *child
	workers []*child
	home    *homerelay.Relay
	natsURL string
}

func newFleet(bin string) func(context.Context, *world, Options) (pipeline, error) {
	return func(ctx context.Context, w *world, _ Options) (pipeline, error) {
		addr, err := freeAddress()
		if err != nil {
			return nil, err
		}
		f := &fleet{natsURL: "nats://" + addr}
		f.home, err = homerelay.Start(ctx, homerelay.Config{Path: filepath.Join(w.dir, "home", "events.db"), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return f, err
		}
		program := filepath.Join(bin, "relaymesh")
		f.server = &child{program: program, args: []string{"nats", "--data", filepath.Join(w.dir, "nats"), "--listen", addr}, log: w.log}
		if err := f.server.start(); err != nil {
			return f, err
		}
		if out, err := exec.CommandContext(ctx, program, "provision", "--nats", f.natsURL).CombinedOutput(); err != nil {
			return f, fmt.Errorf("provision: %w: %s", err, out)
		}
		for _, stage := range events.Stages() {
			for range 2 {
				args := append([]string{"--nats", f.natsURL, "--relay", f.home.URL()}, w.flags()...)
				f.workers = append(f.workers, &child{program: filepath.Join(bin, stage), args: args, log: w.log})
			}
		}
		for _, c := range f.workers {
			if err := c.start(); err != nil {
				return f, err
			}
		}
		return f, nil
	}
}

func (f *fleet) relay() string { return f.home.URL() }
func (f *fleet) nats() string  { return f.natsURL }

// restart kills the server together with all workers.
func (f *fleet) restart() error {
	all := append([]*child{f.server}, f.workers...)
	for _, c := range all {
		c.kill()
	}
	for _, c := range all {
		if err := c.start(); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) close() {
	for _, c := range append(slices.Clone(f.workers), f.server) {
		if c != nil {
			c.kill()
		}
	}
	if f.home != nil {
		_ = f.home.Close()
	}
}

// TestFleetSurvivesTheDeathOfEveryWorker goes through the demo, and then keeps
// publishing lists and replies while each of the eight workers in turn is
// killed and started again.
func TestFleetSurvivesTheDeathOfEveryWorker(t *testing.T) {
	bin := os.Getenv("RELAYMESH_BIN")
	if bin == "" {
		t.Skip("needs built binaries in RELAYMESH_BIN: run make test-e2e")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var log io.Writer
	if testing.Verbose() {
		log = t.Output()
	}
	o := Options{Events: realEvents(t), Log: log, pipeline: newFleet(bin)}
	w, err := newWorld(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	show := func(s step) {
		t.Helper()
		figures := map[string]any{}
		stepCtx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		begun := time.Now()
		if err := s.run(stepCtx, w, figures); err != nil {
			w.explain()
			t.Fatalf("%s: %v", s.name, err)
		}
		t.Log(Step{Name: s.name, Figures: figures}, time.Since(begun).Round(time.Millisecond))
	}
	for _, s := range steps {
		show(s)
	}
	workers := w.pipe.(*fleet).workers
	parents := 1 // one was fetched above
	for i, worker := range workers {
		worker.kill()
		show(step{fmt.Sprintf("a list, with worker %d dead", i), findable})
		if err := worker.start(); err != nil {
			t.Fatal(err)
		}
		show(step{fmt.Sprintf("a reply, after worker %d came back", i), parent})
		parents++
		// Killed while it works: the list and the reply are in flight.
		worker.kill()
		if err := worker.start(); err != nil {
			t.Fatal(err)
		}
	}
	show(step{"nothing went back, nothing was given up", tidy})
	if got := found(ctx, t, w); len(got) != parents {
		t.Errorf("%d parents were reported as found, want %d", len(got), parents)
	}
}

// found reads the outcomes: how often each note was reported as found, which
// must be once.
func found(ctx context.Context, t *testing.T, w *world) map[string]int {
	t.Helper()
	c, err := w.js.OrderedConsumer(ctx, events.StreamOutcome, jetstream.OrderedConsumerConfig{FilterSubjects: []string{events.SubjectNoteFound}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for range info.NumPending {
		msg, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		var r events.MissingNoteResponse
		if err := json.Unmarshal(msg.Data(), &r); err != nil {
			t.Fatal(err)
		}
		if count[r.EventID]++; count[r.EventID] > 1 {
			t.Errorf("%s was reported as found %d times", r.EventID, count[r.EventID])
		}
	}
	return count
}

// realEvents are those that the go-nostr module ships as test data.
func realEvents(t *testing.T) []events.Event {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/nbd-wtf/go-nostr").Output()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(string(bytes.TrimSpace(dir)), "testdata", "messages.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	list, _, err := ReadEvents(file)
	if err != nil || len(list) != 532 {
		t.Fatalf("%d events, %v", len(list), err)
	}
	return list
}
