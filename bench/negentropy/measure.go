package main

import (
	"runtime"
	"slices"
	"syscall"
	"time"
)

// cpuTime returns the CPU time that the process has used, garbage collection and
// all threads included. Unlike wall time it hardly changes on a shared machine.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// cost is what a piece of work used up.
type cost struct {
	cpu    time.Duration
	allocs uint64
	bytes  uint64
}

func (c cost) ms() float64 { return float64(c.cpu.Microseconds()) / 1000 }

// measure runs work a number of times and returns the run of median CPU time.
func measure(runs int, work func()) cost {
	all := make([]cost, runs)
	for i := range all {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := cpuTime()
		work()
		all[i].cpu = cpuTime() - start
		runtime.ReadMemStats(&after)
		all[i].allocs = after.Mallocs - before.Mallocs
		all[i].bytes = after.TotalAlloc - before.TotalAlloc
	}
	slices.SortFunc(all, func(a, b cost) int { return int(a.cpu - b.cpu) })
	return all[runs/2]
}

// live returns the bytes that are in use, after a full collection.
func live() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
