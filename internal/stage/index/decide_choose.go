package index

import (
	"slices"
	"time"
)

const (
	// asked is how many indexes are asked at first, and askedMost how many if some do not answer or have nothing.
	asked     = 3
	askedMost = 6
)

// Choose returns the indexes to ask, in their order, up to count: at random, no two of one network, proven ones first, but
// the third and fifth a newcomer if there is one, since nobody proves itself who is never asked. So strangers, however many
// there are, are one of the first three wherever two are proven. random is [rand.N].
func Choose(known []Known, count int, now time.Time, random func(int) int) []Known {
	var proven, newcomers []Known
	for _, k := range known {
		switch {
		case k.LeftAlone(now):
		case k.Proven():
			proven = append(proven, k)
		case k.Verified > 0:
			newcomers = append(newcomers, k)
		}
	}
	shuffle(proven, random)
	shuffle(newcomers, random)
	networks := map[string]bool{}
	take := func(from *[]Known) (k Known, ok bool) {
		for len(*from) > 0 && !ok {
			k, *from = (*from)[0], (*from)[1:]
			ok = !networks[k.Network]
		}
		networks[k.Network] = true
		return k, ok
	}
	var chosen []Known
	for len(chosen) < count {
		first, second := &proven, &newcomers
		if n := len(chosen); n == 2 || n == 4 {
			first, second = second, first
		}
		k, ok := take(first)
		if !ok {
			if k, ok = take(second); !ok {
				break
			}
		}
		chosen = append(chosen, k)
	}
	return chosen
}

// Candidate is an address that DHT nodes named under an infohash.
type Candidate struct {
	URL     string
	Network string
}

// Sample returns the candidates of one infohash that are worth a question, up to count: half of them those that come first, since most
// nodes name them, and the others at random, one of each network, none of those tried already. So neither nodes that name
// others each time hide who was announced to all, nor does a flood that was. tried is by network, and those that are returned are
// added to it.
func Sample(named []Candidate, count int, tried map[string]bool, random func(int) int) (chosen []Candidate) {
	take := func(from []Candidate, most int) {
		for _, c := range from {
			if len(chosen) >= most {
				return
			}
			if !tried[c.Network] {
				tried[c.Network] = true
				chosen = append(chosen, c)
			}
		}
	}
	take(named, (count+1)/2)
	named = slices.Clone(named)
	shuffle(named, random)
	take(named, count)
	return chosen
}

func shuffle[T any](list []T, random func(int) int) {
	for i := len(list) - 1; i > 0; i-- {
		j := random(i + 1)
		list[i], list[j] = list[j], list[i]
	}
}
