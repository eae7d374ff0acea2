package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// cost is what one sync took.
type cost struct {
	wall  time.Duration
	peak  int64 // resident bytes
	bytes int64 // on the wire to the second relay
}

func (c *cost) best(o cost) {
	if c.wall == 0 || o.wall < c.wall {
		c.wall = o.wall
	}
	c.bytes, c.peak = o.bytes, max(c.peak, o.peak)
}

// sampling is how often a process is looked at. Its peak is a mark that only
// rises, so nothing is missed but the growth of the last moment.
const sampling = 2 * time.Millisecond

// costOf waits for a command to end, which it starts if that was not done. The
// kernel's account of children that have ended (ru_maxrss) is of no use: a child
// begins with its parent's memory, and that counts.
func costOf(cmd *exec.Cmd) (c cost, err error) {
	begun := time.Now()
	if cmd.Process == nil {
		if err := cmd.Start(); err != nil {
			return c, err
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	every := time.NewTicker(sampling)
	defer every.Stop()
	for {
		select {
		case err := <-ended:
			c.wall = time.Since(begun)
			return c, err
		case <-every.C:
			c.peak = max(c.peak, peak(cmd.Process.Pid))
		}
	}
}

// peak is the most memory that a process has held, in bytes; 0 if it has ended.
func peak(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}
