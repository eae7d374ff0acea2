package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/run"
)

// natsStore is how much NATS may take.
type natsStore struct {
	NATSMaxStore config.Bytes `name:"nats-max-store" env:"RELAYMESH_NATS_MAX_STORE" placeholder:"SIZE" help:"How much all streams and buckets of NATS may take on the disk, 1GB at least. Below 12GB queues hold less, in proportion. By default three quarters of what is free at the first start, and more when there is more."`
}

// natsAccess is who may connect to the embedded server.
type natsAccess struct {
	NATSUsers string `name:"nats-users" env:"RELAYMESH_NATS_USERS" placeholder:"FILE" help:"Who may connect to the embedded NATS server: on each line a public nkey (U…) and a role (operator, relay, console or a stage). Users of the role relay have an account of their own. Without it, everyone who reaches the port may do everything."`
	NATSOpen  bool   `name:"nats-open" env:"RELAYMESH_NATS_OPEN" help:"Let the embedded NATS server listen beyond loopback without --nats-users, where the network keeps others away."`
}

func (a natsAccess) start(c natsd.Config) (*natsd.Server, error) {
	c.Open = a.NATSOpen
	if a.NATSUsers != "" {
		users, err := natsd.ReadUsers(a.NATSUsers, c.Prefix)
		if err != nil {
			return nil, fmt.Errorf("--nats-users: %w", err)
		}
		c.Nkeys = users
	}
	return natsd.Start(c)
}

type natsCmd struct {
	Data       string `required:"" env:"RELAYMESH_DATA" placeholder:"DIR" help:"Where streams and buckets are kept."`
	Listen     string `default:"127.0.0.1:4222" placeholder:"HOST:PORT" help:"Address for clients; port 0 takes a free one."`
	SyncAlways bool   `help:"Write through to the disk before every acknowledgement, instead of every two seconds."`
	LogLevel   string `enum:"debug,info,warn,error" default:"info" help:"Least level that is logged."`
	natsAccess
	natsStore

	Prefix contract.Prefix `name:"nats-prefix" env:"RELAYMESH_NATS_PREFIX" placeholder:"NAME" help:"The prefix of the pipeline whose users --nats-users names."`
}

// Run serves until a signal.
func (c *natsCmd) Run(ctx context.Context, o *output) error {
	if err := config.CheckPrefix(c.Prefix); err != nil {
		return usage("%v", err)
	}
	log := obs.NewLogger(o.err, c.LogLevel)
	run.KeepRunning()
	store, err := natsd.SizeStore(c.Data, int64(c.NATSMaxStore), log)
	if err != nil {
		return err
	}
	server, err := c.start(natsd.Config{
		Dir: c.Data, Listen: c.Listen, SyncAlways: c.SyncAlways, MaxStore: store.Limit(), Prefix: c.Prefix, Log: log,
	})
	if err != nil {
		return stopped(ctx, run.PortError("--listen", err))
	}
	defer server.Close()
	fmt.Fprintln(o.out, server.URL())
	run.Notify(ctx)
	return server.Guard(ctx)
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

// disconnect ends the connection of a command, and says more of its error.
func disconnect(js jetstream.JetStream, err *error) {
	*err = bus.Explain(js.Conn(), *err)
	js.Conn().Close()
}

type provisionCmd struct {
	remote
	natsStore
	DryRun       bool          `help:"Only say what would be done."`
	JSON         bool          `help:"Print one JSON object."`
	Replicas     int           `default:"0" placeholder:"N" help:"Copies of every stream and bucket in a NATS cluster: 1, 3 or 5. Without it as many as there are, and 1 at first."`
	RefreshEvery time.Duration `env:"RELAYMESH_REFRESH_EVERY" default:"6h" help:"How often each record is refreshed on the DHT."`
}

// Help is the long help text.
func (*provisionCmd) Help() string {
	return "Run it before the workers of a new version: it brings streams, consumers, buckets and schedules to what they expect, in " +
		"place, and says each setting that it changes. It deletes nothing, and the second time there is nothing to do. What NATS " +
		"cannot change in place it names with what to do, and changes nothing then.\n\n" +
		"Exit codes: 0 ok, or with --dry-run nothing to do; 1 failed, or not possible in place; 2 usage; 3 with --dry-run, there is " +
		"something to do; 130 interrupted."
}

// provisioned is what the command prints; its fields are stable.
type provisioned struct {
	DryRun  bool     `json:"dry_run,omitempty"`
	Changes []string `json:"changes"`
}

// errToDo is the end of a dry run that has found something.
var errToDo = fmt.Errorf("%w: dry run, nothing was changed", errPartly)

// Run makes what is missing, changes what differs, and says what it did.
func (c *provisionCmd) Run(ctx context.Context, o *output) (err error) {
	js, err := c.connect(ctx, o)
	if err != nil {
		return err
	}
	defer disconnect(js, &err)
	options := bus.ProvisionOptions{Replicas: c.Replicas, Store: int64(c.NATSMaxStore), RefreshEvery: c.RefreshEvery}
	provision, say := bus.Provision, bus.Change.Done
	if c.DryRun {
		provision, say = bus.Plan, bus.Change.String
	}
	changes, err := provision(ctx, js, options)
	if err == nil && c.DryRun && len(changes) > 0 {
		err = cmp.Or(bus.Refusals(changes), errToDo)
	}
	lines := []string{}
	for _, change := range changes {
		lines = append(lines, say(change))
	}
	if c.JSON {
		return errors.Join(err, o.json(provisioned{c.DryRun, lines}))
	}
	for _, line := range lines {
		fmt.Fprintln(o.out, line)
	}
	if err == nil && len(lines) == 0 {
		fmt.Fprintln(o.err, "nothing to do")
	}
	return err
}
