package main

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/demo"
)

// The demo proves nothing unless it fails when something is missing: each
// stage in turn is left out, and the step that needs it must fail.
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
	for stage, step := range map[string]string{
		contract.StageIngest:     "a list published at the home relay is on the DHT",
		contract.StageDHTWorker:  "a list published at the home relay is on the DHT",
		contract.StageSyncWorker: "a list on the DHT leads to a relay not known before",
		contract.StageFetcher:    "a reply brings its missing parent",
	} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			report, err := demo.Run(t.Context(), demo.Options{
				Events: made, Program: self, StepTimeout: 5 * time.Second, Without: []string{stage}, Log: t.Output(),
			})
			if !errors.Is(err, demo.ErrNotHeld) {
				t.Fatalf("after %d steps: %v", len(report.Steps), err)
			}
			if last := report.Steps[len(report.Steps)-1]; report.OK || last.OK || last.Name != step {
				t.Errorf("last step %+v, want %q to fail", last, step)
			}
		})
	}
}
