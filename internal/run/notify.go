package run

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notify tells systemd, if it started the process and wants to know
// (Type=notify), that it runs, that it goes on, and, when ctx ends, that it
// stops.
func Notify(ctx context.Context) {
	notify := func(state string) { _, _ = daemon.SdNotify(false, state) } // there is nobody else to tell
	notify(daemon.SdNotifyReady)
	context.AfterFunc(ctx, func() { notify(daemon.SdNotifyStopping) })
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
				notify(daemon.SdNotifyWatchdog)
			case <-ctx.Done():
				return
			}
		}
	}()
}
