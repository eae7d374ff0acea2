package dht

import (
	"slices"
	"testing"
)

// pick makes nodes of their numbers.
func pick(list ...byte) (out []Node) {
	for _, i := range list {
		out = append(out, Node{i})
	}
	return out
}

func TestPlacementTellsWhichNodesKeptTheItemAndWhichForgotIt(t *testing.T) {
	// Of those that held it, 1, 2 and 5 still do, 3 and 4 are there without it
	// (4 got it again), 6 has moved away from the eight nearest, 13 has left.
	found := Found{Closest: pick(0, 1, 2, 3, 4, 5, 7, 8, 9, 6, 10, 11), Had: pick(1, 2, 5), Got: pick(4)}
	before := pick(1, 2, 3, 4, 5, 6, 13)
	p := decidePlacement(found, before, Renew)
	if p.Holders != 4 || p.Held != 4 || p.Kept != 3 || p.Forgot != 2 {
		t.Errorf("%+v", p)
	}
	if got := parseNodes(p.Nodes); !slices.Equal(got, pick(1, 2, 4, 5, 0, 3, 7, 8, 9, 6, 10, 11)) {
		t.Errorf("nodes %v", got)
	}
	if p := decidePlacement(found, before, Half); p.Kept != 1 || p.Forgot != 0 { // without those that it renews: 1, 2, 3, 4
		t.Errorf("%+v", p)
	}

	all := pick(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
	if p := decidePlacement(Found{Closest: all, Got: all}, nil, Fresh); len(p.Nodes) != 26*12 || p.Held != 12 || p.Holders != 14 {
		t.Errorf("%d bytes of nodes, %d of them hold it, %d do", len(p.Nodes), p.Held, p.Holders)
	}
}

func TestNodesThatCannotBeReadAreNone(t *testing.T) {
	if got := parseNodes(make([]byte, 27)); got != nil {
		t.Errorf("%v", got)
	}
	if got := parseNodes(nil); got != nil {
		t.Errorf("%v", got)
	}
}
