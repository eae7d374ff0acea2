package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
)

// child is the pipeline in a process of its own, so that killing it is the
// real thing.
type child struct {
	args []string
	log  io.Writer
	cmd  *exec.Cmd
	done chan struct{}
}

// start runs this very program with other arguments.
func (c *child) start() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("couldn't find the own program: %w", err)
	}
	cmd := exec.Command(self, c.args...)
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // never outlive the demo
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("couldn't start the pipeline: %w", err)
	}
	c.cmd, c.done = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is seen by what no longer works
		close(c.done)
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

// errGone says that the pipeline's process ended by itself.
var errGone = errors.New("the pipeline has stopped; see its log")
