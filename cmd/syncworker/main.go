// Command syncworker runs the third stage of relaymesh as a process of its own:
// it makes the local relay complete by negentropy.
package main

import (
	"os"

	"github.com/relaymesh/relaymesh/internal/obs/otlp"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/run/peers"
)

func main() {
	os.Exit(run.Worker("syncworker", "Make the local relay complete with what other relays hold of its authors.",
		[]run.Option{run.WithLibp2p(peers.Start), run.WithTraces(otlp.Start)}))
}
