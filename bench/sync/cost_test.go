package main

import (
	"os/exec"
	"testing"
)

// What a process holds is its own, however much its parent holds.
func TestPeakIsTheProcess(t *testing.T) {
	ballast := make([]byte, 256<<20)
	for i := range ballast {
		ballast[i] = byte(i)
	}
	c, err := costOf(exec.Command("sleep", "0.1"))
	if err != nil {
		t.Fatal(err)
	}
	if c.peak == 0 || c.peak > 64<<20 {
		t.Errorf("sleep held %d MiB beside a parent of %d", c.peak>>20, len(ballast)>>20)
	}
}
