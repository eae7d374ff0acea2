package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
)

// serve runs the embedded relay until its standard input ends.
func serve(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := homerelay.Start(ctx, homerelay.Config{
		Path: filepath.Join(dir, "relay.db"), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	defer r.Close()
	fmt.Println(r.URL())
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}

// process is a relay in a process of its own.
type process struct {
	cmd *exec.Cmd
	url string
}

// startRelay starts this program once more, as the relay.
func startRelay(ctx context.Context) (*process, error) {
	cmd := exec.CommandContext(ctx, os.Args[0], "serving")
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // it ends with us
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the relay did not start: %w", err)
	}
	return &process{cmd, line[:len(line)-1]}, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}

// peak returns the most memory that the process has had, in MiB (Linux).
func (p *process) peak() float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if fields := bytes.Fields(line); len(fields) > 1 && string(fields[0]) == "VmHWM:" {
			kib, _ := strconv.ParseFloat(string(fields[1]), 64)
			return kib / 1024
		}
	}
	return 0
}
