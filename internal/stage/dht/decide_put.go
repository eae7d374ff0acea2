package dht

import "slices"

const (
	// freshHolders is how many nodes a new or changed item is put on.
	freshHolders = 16
	// allHolders is how many nodes a record is kept on: the closest (BEP 44).
	allHolders = 8
	// renewedHolders is how many of them [Half] renews.
	renewedHolders = 4
	// nodesKept is how many nodes are remembered of each item.
	nodesKept = 12
)

// How is to which nodes an item is put.
type How int

// The ways to put an item; [How.Nodes] has the figures.
const (
	Fresh How = iota // for new and changed items: they are read back, and who has put them there before may stop
	Look             // only those that lack it are sent it
	Half             // those that lack it, and the nearest
	Renew            // all are sent it
)

// Nodes returns how many of the closest nodes are to hold the item, and how many
// of these are sent it although they hold it: the nearest.
func (h How) Nodes() (holders, renewed int) {
	switch h {
	case Fresh:
		return freshHolders, freshHolders
	case Half:
		return allHolders, renewedHolders
	case Renew:
		return allHolders, allHolders
	default:
		return allHolders, 0
	}
}

// decidePlacement returns how an item stands after a put. before are the nodes
// that held it after the put before.
func decidePlacement(found Found, before []Node, how How) placement {
	var holders, others []Node
	for _, n := range found.Closest {
		if slices.Contains(found.Had, n) || slices.Contains(found.Got, n) {
			holders = append(holders, n)
		} else {
			others = append(others, n)
		}
	}
	nodes := slices.Concat(holders, others)
	nodes = nodes[:min(nodesKept, len(nodes))]
	p := placement{
		Holders: len(found.Had) + len(found.Got), Nodes: compact(nodes), Held: min(len(holders), len(nodes)),
		Newer: found.Newer, Equivocal: found.Equivocal, Warning: crowded(found.SharedBits),
	}
	if how == Half { // the nearest are sent it every time
		before = before[min(renewedHolders, len(before)):]
	}
	asked := found.Closest[:min(allHolders, len(found.Closest))]
	for _, n := range before {
		switch {
		case slices.Contains(found.Had, n):
			p.Kept++
		case slices.Contains(asked, n):
			p.Forgot++
		}
	}
	return p
}

// compact writes nodes one after the other.
func compact(nodes []Node) (b []byte) {
	for _, n := range nodes {
		b = append(b, n[:]...)
	}
	return b
}

// parseNodes reads nodes that compact wrote. Those that cannot be read are as
// good as none.
func parseNodes(b []byte) (nodes []Node) {
	if len(b)%len(Node{}) != 0 {
		return nil
	}
	for chunk := range slices.Chunk(b, len(Node{})) {
		nodes = append(nodes, Node(chunk))
	}
	return nodes
}
