package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"syscall"
)

// child is a process that can be killed and started again; killing it is the
// real thing.
type child struct {
	program string
	args    []string
	log     io.Writer
	cmd     *exec.Cmd
	done    chan struct{} // closed when the process has ended
}

func (c *child) start() error {
	cmd := exec.CommandContext(context.Background(), c.program, c.args...)
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // never outlive the demo
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("couldn't start %s: %w", c.program, err)
	}
	done := make(chan struct{})
	c.cmd, c.done = cmd, done
	go func() {
		_ = cmd.Wait() // how it ended is seen by what no longer works
		close(done)
	}()
	return nil
}

// kill ends it without warning and waits until it is gone.
func (c *child) kill() {
	if c.cmd != nil {
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress() (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
