package mainline

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// drawn returns the k nodes nearest to a target among size, as chance puts them: distances grow by steps of an
// exponential distribution.
func drawn(r *rand.Rand, target [20]byte, size float64, k int) (nearest [][20]byte) {
	at := 0.0
	for range k {
		at = min(at+r.ExpFloat64()/size, 1-1e-9)
		id, rest := target, at
		for i := range id {
			rest *= 256
			id[i] ^= byte(rest)
			rest -= math.Floor(rest)
		}
		nearest = append(nearest, id)
	}
	return nearest
}

// sharing returns count ids that share so many bits with a target, and no more.
func sharing(r *rand.Rand, target [20]byte, bits, count int) (ids [][20]byte) {
	for range count {
		id := target
		for i := bits; i < 160; i++ {
			if i == bits || r.IntN(2) == 1 {
				id[i/8] ^= 0x80 >> (i % 8)
			}
		}
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b [20]byte) int { return compareDistance(target, a, b) })
	return ids
}

func anyTarget(r *rand.Rand) (t [20]byte) {
	for i := range t {
		t[i] = byte(r.Uint32())
	}
	return t
}

func TestSizesAreEstimated(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []float64{30, 1000, 1e7} {
		var estimates []float64
		for range 31 {
			target := anyTarget(r)
			estimates = append(estimates, EstimateSize(target, drawn(r, target, size, 8)))
		}
		if got := MedianSize(estimates, 5); got < size/2 || got > size*2 {
			t.Errorf("%.0f nodes are estimated as %.0f", size, got)
		}
	}
	if EstimateSize([20]byte{}, make([][20]byte, 3)) != 0 || MedianSize([]float64{0, 0, 7, 0}, 2) != 0 || MedianSize(nil, 0) != 0 {
		t.Error("something is estimated from too little")
	}
}

// In networks of any size chance is not suspected, and those who surround a target are.
func TestCrowdingIsNoChance(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, size := range []float64{30, 1000, 1e7} {
		for range 10_000 {
			target := anyTarget(r)
			if bits := Crowding(target, drawn(r, target, size, 12), size/2); bits > 0 {
				t.Fatalf("%.0f nodes: %d bits in common are taken for no chance", size, bits)
			}
		}
	}
	target := anyTarget(r)
	for _, c := range []struct {
		size             float64
		bits, nodes, all int
		want             bool
	}{
		{1e7, 40, 12, 12, true}, // the attack that was seen
		{1e7, 40, 8, 12, true},
		{1e7, 40, 3, 12, true},
		{1e7, 159, 1, 8, true}, // next to the target itself
		{1e7, 28, 8, 8, true},
		{1e7, 24, 8, 8, false}, // as near as chance puts them
		{1e7, 28, 1, 8, false},
		{1000, 20, 8, 8, true},
		{1000, 8, 8, 8, false},
		{0, 40, 8, 8, false}, // nothing is known
	} {
		ids := append(sharing(r, target, c.bits, c.nodes), drawn(r, target, max(c.size, 1), c.all-c.nodes)...)
		slices.SortFunc(ids, func(a, b [20]byte) int { return compareDistance(target, a, b) })
		if bits := Crowding(target, ids, c.size); bits > 0 != c.want || c.want && bits > c.bits+20 {
			t.Errorf("%+v: %d bits", c, bits)
		}
	}
}
