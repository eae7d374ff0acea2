package run

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/relaymesh/relaymesh/internal/run/early"
)

// Signals returns a context that ends on the signals of [early.Ends], also where one came before. After
// the first signal a second one kills the process.
func Signals() (context.Context, context.CancelFunc) {
	ends := early.Ends()
	if len(ends) == 0 { // NotifyContext would take none for all
		return context.WithCancel(context.Background())
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop)
	if early.Heard() {
		stop() // ends the context as well
	}
	return ctx, stop
}

// KeepRunning has the process outlive whoever reads its output: Go ends one whose
// standard output or error nobody reads any more (SIGPIPE), without any drain.
// Commands that print a result do without it.
func KeepRunning() { signal.Ignore(syscall.SIGPIPE) }
