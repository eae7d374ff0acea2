package mainline

import "time"

// roundTrip estimates how long replies take, as TCP does (RFC 6298).
type roundTrip struct{ mean, deviation time.Duration }

const (
	minPatience = 250 * time.Millisecond
	maxPatience = time.Second
)

func (r *roundTrip) observe(d time.Duration) {
	if r.mean == 0 {
		r.mean, r.deviation = d, d/2
		return
	}
	r.deviation += ((d - r.mean).Abs() - r.deviation) / 4
	r.mean += (d - r.mean) / 8
}

func (r *roundTrip) timeout() time.Duration {
	if r.mean == 0 {
		return maxPatience
	}
	return min(max(r.mean+4*r.deviation, minPatience), maxPatience)
}
