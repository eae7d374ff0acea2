package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// options of a run.
type options struct {
	Bin      string        `required:"" placeholder:"DIR" help:"Where the built binaries are."`
	Duration time.Duration `default:"10m" help:"How long there is load, and something is broken."`
	Settle   time.Duration `default:"5m" help:"How long to wait afterwards, at most, for what was accepted to arrive."`
	Seed     uint64        `help:"Seed of the schedule; 0 takes any."`
	Rate     float64       `default:"20" help:"Signed events a second."`
	Only     []string      `placeholder:"KIND" help:"Only faults of these kinds."`
	Loopback bool          `help:"Run on loopback, without network namespaces and file systems of its own."`
	Logs     string        `placeholder:"DIR" help:"Keep the logs of all processes there."`
	Inside   bool          `hidden:"" help:"Run in namespaces that were made already."`

	without string // why there are no namespaces
}

// Run is a run; the error says what did not hold.
func (o *options) Run(ctx context.Context) error {
	switch {
	case o.Inside:
		if err := prepare(); err != nil {
			return err
		}
	case o.Loopback:
		o.without = "--loopback"
	default:
		err := try(ctx)
		if err == nil {
			return isolate(ctx)
		}
		o.without = err.Error()
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64N(1 << 32) //nolint:gosec // any schedule will do
	}
	dir, err := os.MkdirTemp("", "relaymesh-chaos-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // with namespaces it is gone anyway
	if o.Bin, err = filepath.Abs(o.Bin); err != nil {
		return err
	}
	return endure(ctx, o, dir)
}

func main() {
	var cli struct {
		Run   options  `cmd:"" default:"withargs" help:"Break one thing after the other under load, and check that nothing is lost."`
		NATS  natsCmd  `cmd:"" name:"nats" hidden:"" help:"One node of the NATS cluster."`
		Relay relayCmd `cmd:"" hidden:"" help:"One relay."`
		DHT   dhtCmd   `cmd:"" name:"dht" hidden:"" help:"All nodes of the DHT."`
		Try   tryCmd   `cmd:"" hidden:"" help:"Try what namespaces are needed for."`
	}
	parsed := kong.Parse(&cli, kong.Name("chaos"), kong.Description("Break the pipeline under load. Exit codes: 0 all promises held, 1 not."))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	parsed.BindTo(ctx, (*context.Context)(nil))
	err := parsed.Run()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}
