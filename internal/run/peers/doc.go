// Package peers fits libp2p (internal/edge/p2p) to the syncing stage: a HORNETS
// relay as a side of a sync, and incoming syncs answered from the relay that we
// stand beside. Only cmd/syncworker and cmd/relaymesh link it.
package peers
