//go:build !unix

package homerelay

import "math"

// maxFiles is how many files and connections the process may have open: there is no limit.
func maxFiles() int { return math.MaxInt }
