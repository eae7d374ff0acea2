package index

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// announceEvery is how often each infohash is announced: nodes forget after about half an hour, so one round may fail.
	announceEvery = 12 * time.Minute
	// announceFirst is the time between two infohashes in the first round.
	announceFirst = time.Second
)

// Announcer announces a port of this host under the infohashes of indexes, one after the other, so that it sends little at a
// time. Its fields are set before [Announcer.Run].
type Announcer struct {
	Network Network
	Port    uint16
	Now     func() time.Time
	Log     *slog.Logger

	mu   sync.Mutex
	took int
}

// Run announces until ctx ends.
func (a *Announcer) Run(ctx context.Context) {
	for first := true; ; first = false {
		hashes, all := Announced(a.Now()), 0
		pause := announceEvery / time.Duration(len(hashes))
		if first {
			pause = announceFirst
		}
		for _, hash := range hashes {
			took, err := a.Network.Announce(ctx, hash, a.Port)
			if err != nil {
				a.Log.DebugContext(ctx, "an announcement as list index was not taken", "err", err)
			}
			all += took
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
		}
		if all == 0 {
			a.Log.WarnContext(ctx, "no DHT node took the announcement of this list index: check the firewall (UDP) and --dht-bootstrap")
		}
		a.mu.Lock()
		a.took = all
		a.mu.Unlock()
	}
}

// Took is how many DHT nodes took the announcements of the last round, of all infohashes together.
func (a *Announcer) Took() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.took
}
