package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/relaymesh/relaymesh/internal/testkit/process"
)

// One fault may end a process that another one has stopped or wants to restart:
// both must end well, and the process must run again.
func TestTwoFaultsOfOnePart(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &part{log: log, proc: process.Process{Program: "sleep", Args: []string{"1000"}}}
	ctx, cancel := context.WithCancel(t.Context())
	if err := p.start(ctx); err != nil {
		t.Fatal(err)
	}
	defer p.end()
	defer cancel()
	if err := errors.Join(p.signal(syscall.SIGSTOP), p.kill()); err != nil {
		t.Fatal(err)
	}
	<-p.proc.Done()
	if err := p.signal(syscall.SIGCONT); err != nil {
		t.Errorf("the end of a stop, while it is down: %v", err)
	}
	if restarted, err := p.restart(); restarted || err != nil {
		t.Errorf("restarted %v, %v, while it is kept down", restarted, err)
	}
	p.revive()
	err = until(t.Context(), func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		select {
		case <-p.proc.Done():
			return errors.New("it is still down")
		default:
			return nil
		}
	})
	if err != nil {
		t.Error(err)
	}
	if p.crashes > 0 {
		t.Errorf("it counts as ended by itself %d times", p.crashes)
	}
}
