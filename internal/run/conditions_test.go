package run

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
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
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); env.tellConditions(ctx, []string{stage}) }()
		w := toldOf(t, world, stage)
		stop()
		<-ended
		if len(w.Conditions) != 3 || w.Conditions[0].Wrong == "" || w.Conditions[0].Do == "" || w.Conditions[1].Wrong != "" ||
			w.Conditions[2].Wrong != "away" || w.Version == "" || w.At == 0 || w.Started == 0 {
			t.Errorf("it tells %+v", w)
		}
		for _, c := range env.ready(t.Context()) {
			if c.Name == "tail of x" {
				t.Error("/readyz has what is only told")
			}
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
