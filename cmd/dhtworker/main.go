// Command dhtworker runs the second stage of relaymesh as a process of its own:
// it publishes relay lists on the Mainline DHT and looks others up.
package main

import (
	"os"

	"github.com/relaymesh/relaymesh/internal/obs/otlp"
	"github.com/relaymesh/relaymesh/internal/run"
)

func main() {
	os.Exit(run.Worker("dhtworker", "Publish signed relay lists on the Mainline DHT, keep them alive, and look other people's up.",
		[]run.Option{run.WithTraces(otlp.Start)}))
}
