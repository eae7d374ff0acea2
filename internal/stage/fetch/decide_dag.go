//go:build scionic

package fetch

import (
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// maxDAGRelays bounds the relays that are tried for one DAG.
const maxDAGRelays = 8

// DAGRelays returns the relays that may have a DAG of an author, most likely
// first: those that the author's own lists say they write to.
func DAGRelays(author contract.Author) []string {
	urls := candidates(events.NoteMissing{}, author, nil, "")
	return urls[:min(len(urls), maxDAGRelays)]
}
