package demo

import (
	"context"
	"net"
	"path/filepath"
	"strings"

	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/internal/testkit/process"
)

// pipeline is what a demo shows: all stages, in one process or in many.
type pipeline interface {
	relay() string   // URL of the relay that it serves
	nats() string    // URL of its NATS server
	gateway() string // URL of the gateway before the relay
	// restart kills it in the middle of what it does and starts it again.
	restart() error
	close()
}

// up is relaymesh up in a process of its own.
type up struct {
	process.Process
	relayURL, natsURL, gatewayURL string
}

func newUp(_ context.Context, w *world, o Options) (pipeline, error) {
	natsAddr, relayAddr, gatewayAddr := loopback.Addr(), loopback.Addr(), loopback.Addr()
	args := append([]string{
		"up", "--data", filepath.Join(w.dir, "home"), "--nats-listen", natsAddr, "--relay-addr", relayAddr, "--gateway", gatewayAddr,
	}, w.flags()...)
	for _, stage := range o.Without {
		args = append(args, "--without", stage)
	}
	u := &up{process.Process{Program: o.Program, Args: args, Log: w.log}, "ws://" + relayAddr, "nats://" + natsAddr, "ws://" + gatewayAddr}
	return u, u.Start()
}

// flags are those of every stage in the demo's world. The real relay lists in
// the events must lead nowhere.
func (w *world) flags() []string {
	return []string{
		"--allow-private", "--only", strings.Join(append(w.urls(), w.beyond.URL()), ","), "--log-level", "debug",
		"--survey-seeds", w.beyond.URL(),
		"--dht-listen", "127.0.0.1:0", "--dht-bootstrap", strings.Join(w.dht.Bootstrap(), ","),
		"--dht-rate=-1", "--dht-per-node=-1",
	}
}

func (u *up) relay() string   { return u.relayURL }
func (u *up) nats() string    { return u.natsURL }
func (u *up) gateway() string { return u.gatewayURL }
func (u *up) close()          { u.Kill() }

func (u *up) restart() error {
	u.Kill()
	return u.Start()
}

// freeAddress returns an address of a loopback host that nobody listens on.
func freeAddress(host string) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", host+":0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
