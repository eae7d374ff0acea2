package mainline

import (
	"math"
	"math/bits"
	"slices"
)

// EstimateSize estimates how many nodes a network has from the nodes nearest to a target, nearest first; 0 if they
// are too few. Ids are spread evenly, so the distance of the k-th nearest tells how dense they are. Around a target
// that somebody has surrounded it tells a much larger number: take targets by chance, and the median of several.
func EstimateSize(target [20]byte, nearest [][20]byte) float64 {
	const least = 4
	if len(nearest) < least {
		return 0
	}
	k := len(nearest)
	return float64(k-1) / fraction(target, nearest[k-1])
}

// MedianSize is the median of estimates, of which those of 0 are none; 0 if there are fewer than least.
func MedianSize(estimates []float64, least int) float64 {
	known := slices.DeleteFunc(slices.Sorted(slices.Values(estimates)), func(n float64) bool { return n == 0 })
	if len(known) < max(least, 1) {
		return 0
	}
	return known[len(known)/2]
}

const (
	// sizeError is how many times larger than its estimate a network may be.
	sizeError = 4
	// unlikely is the probability from which on nearness is no chance: of a million records one looks so by itself.
	unlikely = 1e-6
)

// Crowding reports whether the nodes nearest to a target, nearest first, are nearer than chance allows in a network of
// so many nodes, and then how many leading bits those share with it of whom that is least likely; else 0. Ids are free, so
// somebody may have put these nodes there. A size of 0 is unknown, and nothing is unlikely.
func Crowding(target [20]byte, nearest [][20]byte, size float64) (sharedBits int) {
	if size <= 0 {
		return 0
	}
	least := unlikely
	for i, id := range nearest {
		if p := atLeast(i+1, sizeError*size*fraction(target, id)); p < least {
			least, sharedBits = p, commonBits(target, id)
		}
	}
	return sharedBits
}

// atLeast is the probability that k or more come where mean are expected (Poisson).
func atLeast(k int, mean float64) float64 {
	if mean >= float64(k) {
		return 1 // it is more than a third, and the series below converges slowly
	}
	log, _ := math.Lgamma(float64(k + 1))
	term := math.Exp(float64(k)*math.Log(mean) - mean - log)
	sum := 0.0
	for n := k; term > sum*1e-9; n++ {
		sum += term
		term *= mean / float64(n+1)
	}
	return sum
}

// fraction is the part of the keyspace that is as near to a target as an id.
func fraction(target, id [20]byte) float64 {
	sum, unit := 0.0, 1.0
	for i := range target {
		unit /= 256
		sum += float64(target[i]^id[i]) * unit
	}
	return max(sum, math.SmallestNonzeroFloat64)
}

// commonBits is how many leading bits two ids share.
func commonBits(a, b [20]byte) int {
	for i := range a {
		if d := a[i] ^ b[i]; d != 0 {
			return i*8 + bits.LeadingZeros8(d)
		}
	}
	return 8 * len(a)
}
