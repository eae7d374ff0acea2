package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/relaymesh/relaymesh/internal/testkit/process"
)

// restartAfter is how long a supervisor waits before it starts a process again.
const restartAfter = 300 * time.Millisecond

// part is one process of the fleet, kept alive as a supervisor would.
type part struct {
	name string
	host *host
	dir  string // of its data, a file system of its own; "" without one
	log  *os.File

	mu      sync.Mutex
	proc    process.Process
	killed  bool          // by us, since it was started
	release chan struct{} // while open, it is not started again
	crashes int           // times that it ended by itself
}

// start runs it until ctx ends.
func (p *part) start(ctx context.Context) error {
	if err := p.proc.Start(); err != nil {
		return err
	}
	go p.keep(ctx)
	return nil
}

// keep starts it again whenever it ends.
func (p *part) keep(ctx context.Context) {
	for {
		select {
		case <-p.proc.Done():
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		if !p.killed {
			p.crashes++
		}
		p.killed = false
		release := p.release
		p.mu.Unlock()
		if release != nil {
			<-release
		}
		select {
		case <-time.After(restartAfter):
		case <-ctx.Done():
			return
		}
		if !p.again(ctx) {
			return
		}
	}
}

// again starts it once more, unless ctx has ended.
func (p *part) again(ctx context.Context) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return ctx.Err() == nil && p.proc.Start() == nil
}

// end kills it for good; what start was given has ended.
func (p *part) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proc.Kill()
	p.log.Close()
}

// kill ends it without warning; it is started again after revive.
func (p *part) kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed, p.release = true, make(chan struct{})
	return p.send(syscall.SIGKILL)
}

func (p *part) revive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.release)
	p.release = nil
}

func (p *part) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.send(s)
}

// send sends a signal, unless another fault has just ended the process; mu is
// held.
func (p *part) send(s syscall.Signal) error {
	if err := p.proc.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// mount gives it a small disk of its own.
func (p *part) mount(size string) error {
	if err := unix.Mount("chaos", p.dir, "tmpfs", 0, "size="+size); err != nil {
		return fmt.Errorf("mount %s: %w", p.dir, err)
	}
	return nil
}

// fill uses up its disk.
func (p *part) fill() error {
	var disk unix.Statfs_t
	if err := unix.Statfs(p.dir, &disk); err != nil {
		return err
	}
	f, err := os.OpenFile(p.filler(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	const chunk = 4 << 10
	if free := int64(disk.Bavail)*disk.Bsize - 1<<20; free > 0 { // it is being written to meanwhile
		if err := unix.Fallocate(int(f.Fd()), 0, 0, free); err != nil { //nolint:gosec // a file descriptor
			return fmt.Errorf("fill %s with %d bytes: %w", p.dir, free, err)
		}
		if _, err := f.Seek(free, io.SeekStart); err != nil {
			return err
		}
	}
	for {
		if _, err := f.Write(make([]byte, chunk)); errors.Is(err, unix.ENOSPC) {
			return nil
		} else if err != nil {
			return fmt.Errorf("fill %s: %w", p.dir, err)
		}
	}
}

// empty frees the disk again.
func (p *part) empty() error { return os.Remove(p.filler()) }

func (p *part) filler() string { return filepath.Join(p.dir, "filler") }

// probeLiveness is what an orchestrator does for a NATS node: it restarts one
// that says it is not well. A node that ran out of disk stays so until then.
func (p *part) probeLiveness(ctx context.Context) (restarted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.host.ip+":"+portHealth+"/healthz?js-enabled-only=true", nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return false, nil
		}
	}
	return p.restart()
}

// restart ends it, and its supervisor starts it again; false if another fault
// keeps it down at the moment.
func (p *part) restart() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.release != nil {
		return false, nil
	}
	p.killed = true
	return true, p.send(syscall.SIGKILL)
}
