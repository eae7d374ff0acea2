package run

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/stage/index"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A process of a stage tells with no more than the stage's permissions what it lacks, and /readyz does
// not go by what is only told.
func TestAProcessTellsWhatItLacks(t *testing.T) {
	world := natstest.NewWorld(t)
	for _, stage := range contract.Stages() {
		env, err := NewEnv(config.Config{}, natstest.ConnectAs(t, world.Server, stage, stage), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer env.Close()
		env.addCheck("DHT", func() error { return errors.New("no node answers") })
		env.addCheck("store of NATS", func() error { return nil })
		env.addCondition("tail of x", func() error { return errors.New("away") })
		env.addFigures(func(w *contract.Worker) { w.Gateway = &contract.Gateway{Connections: 3} })
		WithIndex(func() error { return nil }, func() contract.Index { return contract.Index{Events: 7} })(env)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); env.tellConditions(ctx, []string{stage}) }()
		w := toldOf(t, world, stage)
		stop()
		<-ended
		if w.Gateway == nil || w.Gateway.Connections != 3 || w.Index == nil || w.Index.Events != 7 || w.Indexes != nil {
			t.Errorf("beside its stages it tells %+v", w)
		}
		if len(w.Conditions) != 4 || w.Conditions[0].Wrong == "" || w.Conditions[0].Do == "" || w.Conditions[1].Wrong != "" ||
			w.Conditions[2].Wrong != "away" || w.Version == "" || w.At == 0 || w.Started == 0 {
			t.Errorf("it tells %+v", w)
		}
		for _, c := range env.ready(t.Context()) {
			if c.Name == "tail of x" {
				t.Error("/readyz has what is only told")
			}
		}
		if list := env.ready(ctx); len(list) != 1 || list[0].Err == nil {
			t.Errorf("while it ends /readyz has %+v", list)
		}
	}
}

// toldOf waits until a process of a stage has told of itself.
func toldOf(t *testing.T, world *natstest.World, stage string) contract.Worker {
	t.Helper()
	bucket, err := kv.Open[contract.Worker](t.Context(), world.JS, contract.BucketWorkers)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		page, err := bucket.Page(t.Context(), stage+".*", 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Entries) == 1 {
			return page.Entries[0].Value
		}
	}
	t.Fatalf("%s tells nothing", stage)
	return contract.Worker{}
}

// Of list indexes a bounded number is told, the best, and how all of them stand.
func TestKnownIndexesAreTold(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	if told := knownIndexes(nil, now); told != nil {
		t.Errorf("where none is known %+v is told", told)
	}
	known := []index.Known{
		{URL: "wss://proven.example", Via: index.ViaDHT, Delivered: 9, Missed: 1, Verified: now.Unix() - 5},
		{URL: "wss://back.example", Failures: 1, NextTry: now.Unix() - 1, Verified: 1},
		{URL: "wss://silent.example", Failures: 2, NextTry: now.Unix() + 60},
		{URL: "wss://lied.example", Failures: 2, NextTry: now.Unix() + 60, Lied: true},
	}
	for len(known) < contract.MaxIndexes+10 {
		known = append(known, index.Known{URL: "wss://named.example"})
	}
	told := knownIndexes(known, now)
	want := map[string]int{"proven": 1, "newcomer": 1, "silent": 1, "lied": 1, "named": contract.MaxIndexes + 6}
	if !maps.Equal(told.Standings, want) || len(told.Best) != contract.MaxIndexes {
		t.Errorf("told are %d, and standings %v", len(told.Best), told.Standings)
	}
	first := contract.KnownIndex{
		URL: "wss://proven.example", Standing: "proven", Via: "dht", Verified: now.Unix() - 5, Delivered: 9, Missed: 1,
	}
	if told.Best[0] != first || told.Best[1].NextTry != 0 || told.Best[3].NextTry != now.Unix()+60 {
		t.Errorf("they are %+v", told.Best[:4])
	}
}

// A tail counts as following from when it has caught up until it ends, and the reason stays.
func TestATailTellsWhetherItFollows(t *testing.T) {
	env := &Env{}
	cut := errors.New("cut")
	var result error
	follow := env.watched("ws://x", func(ctx context.Context, _ int64, _ func(context.Context, nostr.Event) error,
		caughtUp func(context.Context, int64) error,
	) error {
		if err := caughtUp(ctx, 1); err != nil {
			return err
		}
		if c := env.conditions(); len(c) != 1 || c[0].Wrong != "" {
			t.Errorf("while it follows it tells %+v", c)
		}
		return result
	})
	wrong := func() string { return env.conditions()[0].Wrong }
	if wrong() != errNotFollowed.Error() {
		t.Errorf("before it tells %q", wrong())
	}
	for _, result = range []error{cut, nil} {
		_ = follow(t.Context(), 0, nil, func(context.Context, int64) error { return nil })
		if (wrong() == cut.Error()) != (result != nil) || wrong() == "" {
			t.Errorf("after %v it tells %q", result, wrong())
		}
	}
}
