package run

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestGarbagePercent(t *testing.T) {
	for held, want := range map[uint64]int{0: 100, 10: 100, 500: 100, 501: 99, 600: 66, 800: 25, 900: 15, 5000: 15} {
		if got := garbagePercent(held, 1000); got != want {
			t.Errorf("%d of 1000 held: %d %%, want %d", held, got, want)
		}
	}
}

// The percentage follows what a process holds, up and down.
func TestGarbageIsBounded(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	boundGarbage(held()+64<<20, 100)
	percent := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	func() {
		data := make([]byte, 128<<20)
		defer runtime.KeepAlive(data)
		for percent() != least {
			runtime.GC()
		}
	}()
	for percent() == least {
		runtime.GC()
	}
}
