package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
)

// explain tells why events are still in one relay only, the most frequent reason
// first, and what may be done about it.
func explain(to io.Writer, refusals []run.SyncRefusal) {
	counts, by, private, hidden := map[string]int{}, map[string]int{}, 0, 0
	for _, x := range refusals {
		line := fmt.Sprintf("not in %s: %s", x.To, x.Why)
		if x.By == run.ByRules {
			line += " (kept back by our rules)"
		}
		counts[printable(line)]++
		by[x.By]++
		switch {
		case x.By == run.ByRules && x.Why == string(reconcile.Private):
			private++
		case x.By == run.BySource && strings.HasSuffix(x.Why, "does not deliver it"):
			hidden++
		}
	}
	for _, line := range slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b))
	}) {
		fmt.Fprintf(to, "%6d %s\n", counts[line], line)
	}
	if by[run.ByRules] > 0 {
		fmt.Fprintf(to, "%6s what our rules keep back is no failure: it alone makes no exit code 3\n", "→")
	}
	if private > 0 {
		fmt.Fprintf(to, "%6s direct messages are written to the second relay with --upload-private\n", "→")
	}
	if hidden > 0 {
		fmt.Fprintf(to, "%6s relays list direct messages, but deliver them to their parties only: --nsec-file with the key of one\n", "→")
	}
}
