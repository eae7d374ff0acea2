package run

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// What a process may make of memory before it collects garbage: Go lets it double,
// which a stranger who makes it hold much and throw away much turns into twice of both.
const (
	// AmpleForAll is up to which a process that runs everything may double, and AmpleForOne
	// one of a single stage, bytes.
	AmpleForAll, AmpleForOne = 272 << 20, 56 << 20

	least = 15 // percent that it may grow by beyond
)

// BoundGarbage has garbage collected sooner in a process that has come to hold much: up
// to ample bytes memory may double, and beyond it may grow by 15 %. A GOGC in the
// environment is the operator's word instead. It is for the process as a whole, and
// is called once, at its start.
func BoundGarbage(ample uint64) {
	if os.Getenv("GOGC") == "" {
		boundGarbage(ample, 100)
	}
}

// boundGarbage sets the percentage again after each collection.
func boundGarbage(ample uint64, last int) {
	next := garbagePercent(held(), ample)
	if next != last {
		debug.SetGCPercent(next)
	}
	type collected struct{ _ [16]byte } // of a size that shares no allocation
	runtime.AddCleanup(&collected{}, func(last int) { boundGarbage(ample, last) }, next)
}

// held is what the last collection has left, and what it begins from: the percentage is of it.
func held() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64() + sample[1].Value.Uint64() + sample[2].Value.Uint64()
}

// garbagePercent is by how much a process that holds so many bytes may grow.
func garbagePercent(held, ample uint64) int {
	if 2*held <= ample {
		return 100
	}
	spare := 100 * max(int64(ample)-int64(held), 0) / int64(held)
	return int(max(spare, least))
}
