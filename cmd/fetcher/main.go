// Command fetcher runs the fourth stage of relaymesh as a process of its own:
// it finds the notes that the local relay lacks.
package main

import (
	"os"

	"github.com/relaymesh/relaymesh/internal/obs/otlp"
	"github.com/relaymesh/relaymesh/internal/run"
)

func main() {
	os.Exit(run.Worker("fetcher", "Find the notes that the local relay lacks and write them to it.", []run.Option{run.WithTraces(otlp.Start)}))
}
