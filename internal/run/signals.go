package run

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Signals returns a context that ends on SIGTERM (Kubernetes, systemd), SIGINT and
// SIGHUP (a terminal that is closed). One that is ignored when the process starts, as
// SIGHUP below nohup, stays so. After the first signal a second one kills the process.
func Signals() (context.Context, context.CancelFunc) {
	var ends []os.Signal
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			ends = append(ends, s)
		}
	}
	if len(ends) == 0 { // NotifyContext would take none for all
		return context.WithCancel(context.Background())
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// KeepRunning has the process outlive whoever reads its output: Go ends one whose
// standard output or error nobody reads any more (SIGPIPE), without any drain.
// Commands that print a result do without it.
func KeepRunning() { signal.Ignore(syscall.SIGPIPE) }
