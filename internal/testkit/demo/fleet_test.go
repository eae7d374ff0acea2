package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/internal/testkit/process"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// fleet is the pipeline as operators scale it: a NATS server, two of each
// worker, all processes of their own, beside a relay.
type fleet struct {
	server  *process.Process
	before  string // URL of the gateway
	workers []*process.Process
	home    *homerelay.Relay
	natsURL string
}

func newFleet(bin string) func(context.Context, *world, Options) (pipeline, error) {
	return func(ctx context.Context, w *world, _ Options) (pipeline, error) {
		addr := loopback.Addr()
		f := &fleet{natsURL: "nats://" + addr}
		var err error
		f.home, err = homerelay.Start(ctx, homerelay.Config{Path: filepath.Join(w.dir, "home", "events.db"), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return f, err
		}
		program := filepath.Join(bin, "relaymesh")
		f.server = &process.Process{
			Program: program, Args: []string{"nats", "--data", filepath.Join(w.dir, "nats"), "--listen", addr}, Log: w.log,
		}
		if err := f.server.Start(); err != nil {
			return f, err
		}
		if out, err := exec.CommandContext(ctx, program, "provision", "--nats", f.natsURL).CombinedOutput(); err != nil {
			return f, fmt.Errorf("provision: %w: %s", err, out)
		}
		for _, stage := range contract.Stages() {
			for range 2 {
				args := append([]string{"--nats", f.natsURL, "--relay", f.home.URL()}, w.flags()...)
				f.workers = append(f.workers, &process.Process{Program: filepath.Join(bin, stage), Args: args, Log: w.log})
			}
		}
		at := loopback.Addr()
		f.before = "ws://" + at
		f.workers = append(f.workers, &process.Process{
			Program: filepath.Join(bin, "gateway"), Args: []string{"--nats", f.natsURL, "--relay", f.home.URL(), "--listen", at}, Log: w.log,
		})
		for _, c := range f.workers {
			if err := c.Start(); err != nil {
				return f, err
			}
		}
		return f, nil
	}
}

func (f *fleet) relay() string   { return f.home.URL() }
func (f *fleet) nats() string    { return f.natsURL }
func (f *fleet) gateway() string { return f.before }

// restart kills the server together with all workers.
func (f *fleet) restart() error {
	all := append([]*process.Process{f.server}, f.workers...)
	for _, c := range all {
		c.Kill()
	}
	for _, c := range all {
		if err := c.Start(); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) close() {
	for _, c := range append(slices.Clone(f.workers), f.server) {
		if c != nil {
			c.Kill()
		}
	}
	if f.home != nil {
		_ = f.home.Close()
	}
}

// TestFleetSurvivesKillingEveryWorker goes through the demo, in which all
// processes are killed at once, and then lets users sign lists and write
// replies while each of the nine workers in turn is killed and started again.
func TestFleetSurvivesKillingEveryWorker(t *testing.T) {
	bin := os.Getenv("RELAYMESH_BIN")
	if bin == "" {
		t.Skip("needs built binaries in RELAYMESH_BIN: run make test-e2e")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	o := Options{Events: realEvents(t), Program: filepath.Join(bin, "relaymesh"), pipeline: newFleet(bin)}
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
	var users []user
	for range 150 {
		u, err := newUser(w)
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, u)
	}
	show(step{
		"every worker in turn is killed while users sign lists and write replies",
		func(ctx context.Context, w *world, _ map[string]any) error {
			group, ctx := errgroup.WithContext(ctx)
			group.Go(func() error { return killOneByOne(ctx, w.pipe.(*fleet).workers) })
			group.Go(func() error {
				pace := time.NewTicker(30 * time.Millisecond) // as long as the killing takes
				defer pace.Stop()
				for _, u := range users {
					<-pace.C
					if err := errors.Join(w.must(ctx, u.far, u.note), w.must(ctx, w.home, u.list.DHT), w.must(ctx, w.home, u.reply)); err != nil {
						return err
					}
				}
				return nil
			})
			return group.Wait()
		},
	})
	show(step{"no list and no note is lost", func(ctx context.Context, w *world, figures map[string]any) error {
		for _, u := range users {
			if err := w.onDHT(ctx, u.list, map[string]any{}); err != nil {
				return err
			}
			if err := w.cameHome(ctx, u.note.ID); err != nil {
				return err
			}
		}
		figures["lists"], figures["notes"] = len(users), len(users)
		return nil
	}})
	show(step{"nothing went back, nothing was given up", tidy})
	// Who was killed between the two is followed by another after AckWait.
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err = w.until(ctx, func() error {
		count := found(ctx, t, w)
		for _, u := range users {
			if count[u.note.ID] == 0 {
				return fmt.Errorf("%s came home, and was not reported as found", u.note.ID)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// user is somebody who signs a list, and replies to a note that lies far away.
type user struct {
	list        run.SignedList
	note, reply nostr.Event
	far         string
}

func newUser(w *world) (u user, err error) {
	key, err := schnorr.NewSecret()
	if err != nil {
		return u, err
	}
	now := time.Now().Unix()
	u.far = w.relays[1].URL()
	if u.list, err = run.SignList(key, []string{w.relays[0].URL()}, now); err != nil {
		return u, err
	}
	u.note = nostr.Event{CreatedAt: now - 60, Kind: 1, Content: "a note", Tags: []nostr.Tag{}}
	if err := key.SignEvent(&u.note); err != nil {
		return u, err
	}
	u.reply = nostr.Event{CreatedAt: now, Kind: 1, Content: "a reply", Tags: []nostr.Tag{{"e", u.note.ID, u.far, "root", u.note.PubKey}}}
	return u, key.SignEvent(&u.reply)
}

// killOneByOne kills and restarts every worker, the two of a stage one after the
// other, so that one of them may take over what the other was doing.
func killOneByOne(ctx context.Context, workers []*process.Process) error {
	for _, worker := range workers {
		worker.Kill()
		if err := worker.Start(); err != nil {
			return err
		}
		select {
		case <-time.After(500 * time.Millisecond): // let it get hold of something
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// found reads the outcomes: how often each note was reported as found, which
// must be once.
func found(ctx context.Context, t *testing.T, w *world) map[string]int {
	t.Helper()
	c, err := w.js.OrderedConsumer(ctx, contract.StreamOutcome,
		jetstream.OrderedConsumerConfig{FilterSubjects: []string{events.SubjectNoteFound}})
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
func realEvents(t *testing.T) []nostr.Event {
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
