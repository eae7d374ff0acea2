//go:build unix

package slots

import (
	"math"
	"syscall"
)

// Files is how many files and connections the process may have open: the hard limit, to which Go raises the soft
// one when it starts.
func Files() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return math.MaxInt
	}
	return int(min(limit.Cur, math.MaxInt))
}
