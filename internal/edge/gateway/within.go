package gateway

import (
	"fmt"
	"log/slog"
)

const (
	// connectionsInAll is how many clients there are at most, where the process may have files enough.
	connectionsInAll = 20_000
	// unaskedOfAddress is how many connections of one address are open beyond its clients: those that have not asked yet, and those
	// that are told why they are not let in.
	unaskedOfAddress = 64
)

// within returns how many clients a gateway takes that may have so many files open, of which each client needs two, and how many
// connections are left beside them. Where that is fewer than it would take, it is said once.
func within(files int, log *slog.Logger) (clients, beside int) {
	spare := files/50 + 100
	clients = max((files-spare)/2, files/4)
	if clients >= connectionsInAll {
		return connectionsInAll, connectionsInAll / 100
	}
	log.Warn("the gateway takes fewer clients, since the process may have few files open, and each needs two (LimitNOFILE, ulimit -Hn)",
		"notice", fmt.Sprintf("%d clients of %d open files", clients, files))
	return clients, spare / 2
}
