// Command ingest runs the first stage of relaymesh as a process of its own:
// it verifies what relays publish and wakes the other stages up.
package main

import (
	"os"

	"github.com/relaymesh/relaymesh/internal/obs/otlp"
	"github.com/relaymesh/relaymesh/internal/run"
)

func main() {
	os.Exit(run.Worker("ingest", "Take in what relays publish, verify it, and wake the other stages up.",
		[]run.Option{run.WithTraces(otlp.Start)}, run.Sources()...))
}
