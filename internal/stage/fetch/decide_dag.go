//go:build scionic

package fetch

import "github.com/relaymesh/relaymesh/internal/contract"

// maxDAGRelays bounds the relays that are tried for one DAG.
const maxDAGRelays = 8

// DAGRelays returns the relays that may have a DAG of an author, most likely
// first: those that the author's own lists say they write to.
func DAGRelays(author contract.Author) []string {
	urls := author.WriteRelays()
	return urls[:min(len(urls), maxDAGRelays)]
}
