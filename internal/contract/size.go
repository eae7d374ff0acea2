package contract

// FullStore is how many bytes all streams and buckets may take where their bounds
// are as [Streams] and [Buckets] say. Those that the server sets aside come to 7.5 GB; the rest is for what
// is not bounded, and grows with authors and relays.
const FullStore = 12_000_000_000

// MinStore is the smallest size, in bytes, that anything is made for.
const MinStore = 1_000_000_000

// fewest is a bound in messages that does not shrink: of one each for the slices of
// the keyspace, and of some for everything else.
const fewest = 1024

// Sized is the stream with bounds for a store of so many bytes: below [FullStore]
// they shrink in proportion.
func (s Stream) Sized(store int64) Stream {
	s.MaxBytes = sized(s.MaxBytes, store)
	s.MaxWaiting = max(int(sized(int64(s.MaxWaiting), store)), min(s.MaxWaiting, fewest))
	return s
}

// Sized is the bucket with bounds for a store of so many bytes.
func (b Bucket) Sized(store int64) Bucket {
	b.MaxBytes = sized(b.MaxBytes, store)
	return b
}

func sized(bound, store int64) int64 {
	if store >= FullStore {
		return bound
	}
	return int64(float64(bound) * float64(store) / FullStore)
}

// Bounds is the sum of what all streams and buckets of a store of so many bytes may
// take that are bounded by bytes: the server sets it aside.
func Bounds(store int64) (sum int64) {
	for _, s := range Streams() {
		if !s.Schedules {
			sum += s.Sized(store).MaxBytes
		}
	}
	for _, b := range Buckets() {
		sum += b.Sized(store).MaxBytes
	}
	return sum
}

// Largest is the greatest bound in bytes that the server sets aside for one stream or bucket of
// the full size.
func Largest() (bound int64) {
	for _, s := range Streams() {
		if !s.Schedules {
			bound = max(bound, s.MaxBytes)
		}
	}
	for _, b := range Buckets() {
		bound = max(bound, b.MaxBytes)
	}
	return bound
}
