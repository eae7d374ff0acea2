package run

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notify tells systemd, if it started the process and wants to know
// (Type=notify), that it runs, that it goes on, and, when ctx ends, that it
// stops.
func Notify(ctx context.Context) { notify(ctx, func() error { return nil }) }

// notify is [Notify] that lets the watchdog bite while alive returns an error.
func notify(ctx context.Context, alive func() error) {
	tell := func(state string) { _, _ = daemon.SdNotify(false, state) } // there is nobody else to tell
	tell(daemon.SdNotifyReady)
	context.AfterFunc(ctx, func() { tell(daemon.SdNotifyStopping) })
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every <= 0 {
		return
	}
	go func() {
		beat := time.NewTicker(every / 2)
		defer beat.Stop()
		for {
			select {
			case <-beat.C:
				if err := alive(); err != nil {
					tell("STATUS=" + err.Error())
					continue
				}
				tell(daemon.SdNotifyWatchdog)
			case <-ctx.Done():
				return
			}
		}
	}()
}
