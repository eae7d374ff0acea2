//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/relaymesh/relaymesh/bench/child"
)

// serve runs the embedded relay until it is interrupted.
func serve(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return child.ServeRelay(ctx, filepath.Join(dir, "relay.db"), slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

// process is a part in a process of its own.
type process struct {
	cmd  *exec.Cmd
	line string // its first
	out  io.Reader
}

// start starts this program once more, to do that part; it prints a line when it
// is ready.
func start(ctx context.Context, part string, env ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, os.Args[0], part)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s did not start: %w", part, err)
	}
	return &process{cmd, line[:len(line)-1], out}, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	_, _ = io.Copy(os.Stdout, p.out)
	_ = p.cmd.Wait()
}

// memory returns what the process holds, in MiB: not the pages of its files,
// which the kernel takes back when it wants.
func (p *process) memory() float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if fields := bytes.Fields(line); len(fields) > 1 && string(fields[0]) == "RssAnon:" {
			kib, _ := strconv.ParseFloat(string(fields[1]), 64)
			return kib / 1024
		}
	}
	return 0
}
