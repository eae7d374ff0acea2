package main

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/demo"
)

// The demo proves nothing unless it fails when something is missing: each
// stage in turn is left out, and the step that needs it must fail. That step has
// five seconds; those before it may take as long as a busy machine does.
func TestDemoFailsWithoutAnyOneStage(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts four small worlds, 10 s each: not in -short")
	}
	made, err := demo.MakeEvents(40, time.Now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	steps := []string{
		"a world on loopback", "a list published at the home relay is on the DHT",
		"a list on the DHT leads to a relay not known before", "a reply brings its missing parent",
	}
	for stage, fails := range map[string]int{
		contract.StageIngest: 1, contract.StageDHTWorker: 1, contract.StageSyncWorker: 2, contract.StageFetcher: 3,
	} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			report, err := demo.Run(ctx, demo.Options{
				Events: made, Program: self, StepTimeout: patience, Without: []string{stage}, Log: t.Output(),
				Progress: func(s demo.Step) {
					if s.Name == steps[fails-1] {
						time.AfterFunc(5*time.Second, stop)
					}
				},
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("after %d steps: %v", len(report.Steps), err)
			}
			if last := report.Steps[len(report.Steps)-1]; report.OK || last.OK || last.Name != steps[fails] {
				t.Errorf("last step %+v, want %q to fail", last, steps[fails])
			}
		})
	}
}
