// Package loopback gives tests an address that is free and stays free until it is
// listened on, now, later, or again after an outage.
package loopback

import (
	"fmt"
	"math/rand/v2"
)

// Addr returns host:port for TCP and UDP, on which nothing listens. The port of a
// listener that was closed may be given to the next one that asks for any port, also
// of another process; so the host is drawn from 127.0.0.0/8, which Linux answers for
// as a whole, and the port from those that it gives to nobody by itself.
func Addr() string {
	return fmt.Sprintf("127.%d.%d.%d:%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254), 20_000+rand.IntN(10_000))
}
