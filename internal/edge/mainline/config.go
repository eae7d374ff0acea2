package mainline

import (
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"
)

// Config is how a node takes part in the DHT. The zero value is a read-write node on a random port that knows nobody;
// production sets ReadOnly. A new DHT rate is a field here, with its default in setDefaults, and is kept by rateLimiter
// (per address) or outbox (all together).
type Config struct {
	Addr      string   // UDP address to listen on, IPv4 only; ":0" if empty
	Bootstrap []string // host:port of nodes to start from when no others are known

	// ReadOnly nodes answer no queries and say so (BEP 43). It is the way to publish and resolve: a node that answers
	// can be made to send 14 times what it receives to a forged address.
	ReadOnly bool
	// AllowPrivate lets packets go to private and loopback addresses, any port, and several nodes of one address: for
	// test and demonstration networks.
	AllowPrivate bool

	// NodesFile is where id and good nodes outlive a restart; nothing is kept if empty. Once others agree on our external
	// address, the id in it is one that fits the address (BEP 42) and is used from the next start on.
	NodesFile string

	// Rate is how many packets a second the node sends at most: 250 if 0, no limit if negative. Each new address is an
	// entry in the connection tracking tables on the way for 30 to 180 seconds: exempt the port from tracking
	// (NOTRACK) before raising it.
	Rate float64
	// PerAddress is how many messages a second go to one address at most: 3 if 0, no limit if negative. Many nodes
	// ban an address that sends more than 5.
	PerAddress float64

	Log *slog.Logger // slog.Default() if nil
}

const (
	defaultRate       = 250
	defaultPerAddress = 3
	saveEvery         = 10 * time.Minute
)

var errClosed = errors.New("the DHT node is closed")

func (c *Config) setDefaults() error {
	if c.Addr == "" {
		c.Addr = ":0"
	}
	if c.Rate == 0 {
		c.Rate = defaultRate
	}
	if c.PerAddress == 0 {
		c.PerAddress = defaultPerAddress
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	for _, b := range c.Bootstrap {
		if _, port, err := net.SplitHostPort(b); err != nil || !validPort(port) {
			return errors.New("bootstrap node " + strconv.Quote(b) + " is not host:port")
		}
	}
	return nil
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
