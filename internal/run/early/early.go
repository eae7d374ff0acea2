// Package early hears the signals that ask a process to end before its main function does: what
// packages do when they are initialized takes ten milliseconds and more, and a supervisor that
// changes its mind meanwhile would be told of a death by a signal. It imports little, so that it
// is among the first of them; before that, for a millisecond or two, nothing can be heard.
package early

import (
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

var heard = make(chan os.Signal, 1)

func init() {
	if !strings.HasSuffix(os.Args[0], ".test") { // which ends by them as ever
		listen()
	}
}

func listen() {
	if ends := Ends(); len(ends) > 0 { // or all would be meant
		signal.Notify(heard, ends...)
	}
}

// Ends are SIGTERM (Kubernetes, systemd), SIGINT and SIGHUP (a terminal that is closed), without
// those that are ignored when the process starts, as SIGHUP below nohup: they stay so.
func Ends() []os.Signal {
	return slices.DeleteFunc([]os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP}, signal.Ignored)
}

// Heard reports whether a signal has come, and leaves further ones to whoever has asked for them
// before this is called.
func Heard() bool {
	signal.Stop(heard)
	select {
	case <-heard:
		return true
	default:
		return false
	}
}
