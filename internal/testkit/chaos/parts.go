package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
)

// The ports of every host.
const (
	portNATS    = "4222"
	portCluster = "6222"
	portHealth  = "8222"
	portRelay   = "7777"
	portDHT     = "20000" // and those after it
)

// natsCmd is one node of the NATS cluster.
type natsCmd struct {
	Name  string
	IP    string
	Dir   string
	Peers []string // IP addresses of all nodes
}

// Accounts as docs/operating.md proposes them, and one for the system's own
// commands. The size of the disk is found out the hard way.
const natsConfig = `
server_name: %[1]s
listen: "%[2]s:` + portNATS + `"
http: "%[2]s:` + portHealth + `"
jetstream { store_dir: "%[3]s", sync_interval: always, max_file_store: 64GB, max_memory_store: 1GB }
cluster { name: chaos, listen: "%[2]s:` + portCluster + `", routes: [%[4]s] }
accounts {
  RELAYMESH { jetstream: enabled, users: [ { user: relaymesh, password: relaymesh } ] }
  SYSTEM { users: [ { user: system, password: system } ] }
}
system_account: SYSTEM
no_auth_user: relaymesh
`

// Run serves until it is killed.
func (c *natsCmd) Run(ctx context.Context) error {
	var routes []string
	for _, peer := range c.Peers {
		routes = append(routes, fmt.Sprintf("%q", "nats://"+net.JoinHostPort(peer, portCluster)))
	}
	file := c.Dir + ".conf" // not where the disk may be full
	if err := os.WriteFile(file, fmt.Appendf(nil, natsConfig, c.Name, c.IP, c.Dir, strings.Join(routes, ", ")), 0o600); err != nil {
		return err
	}
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	opts.NoSigs = true
	ns, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	ns.ConfigureLogger()
	ns.Start()
	<-ctx.Done()
	ns.Shutdown()
	return nil
}

// relayCmd is one relay.
type relayCmd struct {
	Khatru bool // or the relay of relaymesh up
	Addr   string
	File   string
}

// Run serves until it is killed.
func (c *relayCmd) Run(ctx context.Context) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var relay io.Closer
	var err error
	if c.Khatru {
		relay, err = khatrutest.StartWith(ctx, khatrutest.Config{Addr: c.Addr, Path: c.File, Log: log})
	} else {
		relay, err = homerelay.Start(ctx, homerelay.Config{Addr: c.Addr, Path: c.File, Log: log})
	}
	if err != nil {
		return err
	}
	<-ctx.Done()
	return relay.Close()
}

// dhtCmd is the DHT.
type dhtCmd struct {
	First string // address of the first node; the others have the ports after it
	Nodes int
}

// Run serves until it is killed, and listens on the first port by TCP when the
// nodes know each other.
func (c *dhtCmd) Run(ctx context.Context) error {
	first, err := netip.ParseAddrPort(c.First)
	if err != nil {
		return err
	}
	network, err := dhtnet.StartAt(ctx, first, c.Nodes)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	ready, err := lc.Listen(ctx, "tcp", c.First)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return errors.Join(ready.Close(), network.Close())
}
