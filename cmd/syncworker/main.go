// Command syncworker runs the third stage of relaymesh as a process of its own:
// it makes the local relay complete by negentropy.
package main

import (
	"os"

	"github.com/relaymesh/relaymesh/internal/run"
)

func main() {
	os.Exit(run.Worker("syncworker", "Make the local relay complete with what other relays hold of its authors."))
}
