package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolate runs this program again in namespaces of its own.
func isolate(ctx context.Context) error {
	cmd, err := namespaced(context.WithoutCancel(ctx), append(os.Args[1:], "--inside")...)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("couldn't make namespaces: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })()
	if err := cmd.Wait(); err != nil {
		return errors.New("the run failed, see above")
	}
	return nil
}

// namespaced is this program in new namespaces of processes, networks and
// mounts. They end with it, and with them whatever was made inside.
func namespaced(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // it is told of an interrupt once, by us
	}
	return cmd, nil
}

// try says why namespaces cannot be used on this machine as a run does; nil if
// they can. Containers and hardened machines refuse different parts of it.
func try(ctx context.Context) error {
	cmd, err := namespaced(ctx, "try")
	if err != nil {
		return err
	}
	out, err := cmd.CombinedOutput()
	if len(out) > 0 {
		return errors.New(strings.TrimSpace(string(out))) // it has told
	}
	return err
}

// tryCmd does in new namespaces once whatever a run does there.
type tryCmd struct{}

// Run returns the first thing that is refused.
func (*tryCmd) Run(ctx context.Context) error {
	if err := prepare(); err != nil {
		return err
	}
	n, err := newNetwork(ctx, true)
	if err != nil {
		return err
	}
	h, err := n.add(ctx, "try")
	if err != nil {
		return err
	}
	disk := &part{dir: "/run/disk"}
	steps := []func() error{
		func() error { return os.Mkdir(disk.dir, 0o700) },
		func() error { return disk.mount("1m") },
		func() error { return h.lose(ctx, lossPercent) },
		func() error { return h.keep(ctx) },
		func() error { return h.cut(ctx) },
		func() error { return h.mend(ctx) },
		func() error {
			program, args := h.command("true")
			return exec.CommandContext(ctx, program, args...).Run() //nolint:gosec // as above
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the new namespaces usable, without a trace outside.
func prepare() error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", 0, ""},
		{"chaos", "/run", "tmpfs", 0, "size=2g"}, // names of network namespaces, and all our files
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return os.Setenv("TMPDIR", "/run")
}
