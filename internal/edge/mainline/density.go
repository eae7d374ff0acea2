package mainline

import "sync"

const (
	// sizeSamples is how many lookups the size of the network is estimated from.
	sizeSamples = 31
	// leastSamples keeps one target, which may be surrounded, from telling how dense the network is.
	leastSamples = 5
)

// density remembers how dense the network was around the targets that were looked up last.
type density struct {
	mu      sync.Mutex
	targets [sizeSamples][20]byte
	sizes   [sizeSamples]float64
	next    int
}

// note takes what a lookup found; a target counts once.
func (d *density) note(target [20]byte, nearest [][20]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.next
	for i, known := range d.targets {
		if known == target && d.sizes[i] > 0 {
			at = i
		}
	}
	d.targets[at], d.sizes[at] = target, EstimateSize(target, nearest)
	if at == d.next {
		d.next = (d.next + 1) % sizeSamples
	}
}

// size estimates how many nodes the network has; 0 is unknown.
func (d *density) size() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return MedianSize(d.sizes[:], leastSamples)
}

// idsOf returns the ids of contacts.
func idsOf(contacts []Contact) (ids [][20]byte) {
	for _, c := range contacts {
		ids = append(ids, c.ID)
	}
	return ids
}

// SharedBits is how many leading bits nodes share with a target that are nearer to it than chance allows in a network of
// so many nodes; 0 if they are not. See [Crowding].
func SharedBits(target [20]byte, nearest []Contact, size float64) int {
	return Crowding(target, idsOf(nearest), size)
}

// SizeOf estimates how many nodes the network has by the nodes nearest to a target; see [EstimateSize].
func SizeOf(target [20]byte, nearest []Contact) float64 { return EstimateSize(target, idsOf(nearest)) }
