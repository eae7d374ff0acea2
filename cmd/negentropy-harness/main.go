// Command negentropy-harness runs package negentropy in the public negentropy
// conformance suite: it answers the suite's line protocol on stdin and stdout.
//
// FRAMESIZELIMIT is the frame size limit in bytes (absent or 0: none). COMPAT=1
// repeats the reference implementation's overflow for the suite's byte
// comparison; it loses differences and is for tests alone.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/relaymesh/relaymesh/pkg/negentropy/conformance"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "negentropy-harness:", err)
		os.Exit(1)
	}
}

func run() error {
	opts := conformance.Options{ReferenceOverflow: os.Getenv("COMPAT") == "1"}
	if limit := os.Getenv("FRAMESIZELIMIT"); limit != "" {
		var err error
		if opts.FrameLimit, err = strconv.Atoi(limit); err != nil {
			return fmt.Errorf("FRAMESIZELIMIT: %w", err)
		}
	}
	return conformance.Run(os.Stdin, os.Stdout, opts)
}
