// Command gateway stands before a relay as a process of its own: it lets clients
// through and completes the relay's answers.
package main

import (
	"os"

	"github.com/relaymesh/relaymesh/internal/run"
)

func main() { os.Exit(run.GatewayWorker()) }
