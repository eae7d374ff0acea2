package negentropy

// A range that does not agree is split into this many parts of equal count, or
// listed when it holds fewer than two items per part.
const buckets = 16

// split writes the items of ranks lower <= i < upper, whose range ends at end, as
// fingerprints of its parts or, when they are few, as a list of their ids.
func (r *Reconciler) split(lower, upper int, end *bound) {
	n := upper - lower
	r.out.grow(splitCost)
	if n < 2*buckets {
		r.out.list(end, n)
		r.out.buf = r.store.AppendIDs(r.out.buf, lower, upper)
		return
	}
	// Everything is looked up before anything is hashed: look-ups miss the cache, and
	// like this they do not wait for one another.
	var bounds [buckets]bound
	var sums [buckets]Sum
	var counts [buckets]int
	for part := range buckets {
		counts[part] = n / buckets
		if part < n%buckets {
			counts[part]++
		}
		next := lower + counts[part]
		bounds[part] = *end
		if next < upper {
			bounds[part] = boundAt(r.store, next)
		}
		sums[part] = r.store.Sum(lower, next)
		lower = next
	}
	for part := range buckets {
		r.out.fingerprint(&bounds[part], r.hasher.fingerprint(&sums[part], counts[part]))
	}
}

// boundAt returns the shortest bound b with At(i-1) < b <= At(i).
func boundAt(s Store, i int) bound {
	b := bound{Item: Item{Timestamp: s.Timestamp(i)}}
	if s.Timestamp(i-1) != b.Timestamp {
		return b
	}
	prev, curr := s.At(i-1).ID, s.At(i).ID
	for int(b.n) < idSize {
		k := b.n
		b.ID[k] = curr[k]
		b.n++
		if prev[k] != curr[k] {
			break
		}
	}
	return b
}
