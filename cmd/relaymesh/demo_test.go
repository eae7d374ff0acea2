package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/demo"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The demo proves nothing unless it fails when something is missing: each
// stage in turn is left out, and the step that needs it must fail.
func TestDemoFailsWithoutAnyOneStage(t *testing.T) {
	if testing.Short() {
		t.Skip("starts four small worlds, 10 s each: not in -short")
	}
	made, err := demo.MakeEvents(40, time.Now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	var lines []byte
	for _, e := range made {
		lines = append(append(lines, nostr.Encode(e)...), '\n')
	}
	path := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.WriteFile(path, lines, 0o600); err != nil {
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
			code, stdout, stderr := relaymesh(t, "demo", "--json", "--events", path, "--without", stage, "--step-timeout", "5s")
			report := decode[demo.Report](t, stdout)
			last := report.Steps[len(report.Steps)-1]
			if code != run.ExitFailed || report.OK || last.OK || last.Name != step {
				t.Errorf("exit code %d, last step %+v, want %q to fail\n%s", code, last, step, stderr)
			}
		})
	}
}
