// Package process runs programs as child processes that can be killed, stopped
// and started again, for demonstrations and tests of what then happens.
package process

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// Process is a program with its arguments that runs at most once at a time. Its
// methods must not be called at the same time, except [Process.Done].
type Process struct {
	Program string
	Args    []string
	Log     io.Writer // takes standard output and standard error

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// Start runs the program. It ends with this process at the latest.
func (p *Process) Start() error {
	cmd := exec.CommandContext(context.Background(), p.Program, p.Args...)
	cmd.Stdout, cmd.Stderr = p.Log, p.Log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("couldn't start %s: %w", p.Program, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		_ = cmd.Wait() // how it ended is seen by what no longer works
		close(done)
	}()
	return nil
}

// Done is closed when the process that was started last has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends it without warning and waits until it is gone. One that was never
// started, or has ended, may be killed.
func (p *Process) Kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Signal sends a signal, such as SIGSTOP; a process that has ended is an error.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// PID is the number of the process that was started last.
func (p *Process) PID() int { return p.cmd.Process.Pid }
