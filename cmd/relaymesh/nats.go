package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/run"
)

type natsCmd struct {
	Data       string `required:"" env:"RELAYMESH_DATA" placeholder:"DIR" help:"Where streams and buckets are kept."`
	Listen     string `default:"127.0.0.1:4222" placeholder:"HOST:PORT" help:"Address for clients; port 0 takes a free one."`
	SyncAlways bool   `help:"Write through to the disk before every acknowledgement, instead of every two seconds."`
	LogLevel   string `enum:"debug,info,warn,error" default:"info" help:"Least level that is logged."`
}

// Run serves until a signal.
func (c *natsCmd) Run(ctx context.Context, o *output) error {
	server, err := natsd.Start(natsd.Config{
		Dir: c.Data, Listen: c.Listen, SyncAlways: c.SyncAlways, Log: obs.NewLogger(o.err, c.LogLevel),
	})
	if err != nil {
		return err
	}
	defer server.Close()
	fmt.Fprintln(o.out, server.URL())
	<-ctx.Done()
	return nil
}

// remote is what commands need that talk to a running pipeline.
type remote struct {
	NATS string `name:"nats" env:"RELAYMESH_NATS" default:"nats://127.0.0.1:4222" placeholder:"URL" help:"NATS server of the pipeline."`

	config.NATSAuth
}

// cliName is the connection name of commands, which their permissions refer to.
const cliName = "relaymesh-cli"

// connectWait is how long a command waits for the server before it gives up.
const connectWait = 5 * time.Second

func (r remote) connect(ctx context.Context, o *output) (jetstream.JetStream, error) {
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	return run.Dial(ctx, r.NATS, r.NATSAuth, cliName, obs.NewLogger(o.err, "error"))
}

type provisionCmd struct {
	remote
	JSON         bool          `help:"Print one JSON object."`
	Replicas     int           `default:"1" help:"Copies of every stream and bucket in a NATS cluster: 1 or 3."`
	RefreshEvery time.Duration `env:"RELAYMESH_REFRESH_EVERY" default:"6h" help:"How often each record is refreshed on the DHT."`
}

// provisioned is what the command prints; its fields are stable.
type provisioned struct {
	Changes []string `json:"changes"`
}

// Run makes what is missing, changes what differs, and says what it did.
func (c *provisionCmd) Run(ctx context.Context, o *output) error {
	js, err := c.connect(ctx, o)
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	changes, err := bus.Provision(ctx, js, bus.ProvisionOptions{Replicas: c.Replicas, RefreshEvery: c.RefreshEvery})
	if c.JSON {
		return errors.Join(err, json.NewEncoder(o.out).Encode(provisioned{append([]string{}, changes...)}))
	}
	for _, change := range changes {
		fmt.Fprintln(o.out, change)
	}
	if err == nil && len(changes) == 0 {
		fmt.Fprintln(o.err, "everything is as it should be")
	}
	return err
}
