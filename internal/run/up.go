package run

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// UpConfig is the configuration of the whole pipeline in one process.
type UpConfig struct {
	config.Config

	Data       string   // directory of streams, buckets, the embedded relay and the DHT node
	NATSListen string   // address of the embedded NATS server; "" is in this process only
	RelayAddr  string   // address of the embedded relay, which runs if Config.Relay is empty
	Without    []string // stages that are left out
}

// Up runs embedded NATS, the embedded relay unless another one is given, and
// all stages until ctx ends. up is called once everything has been started.
func Up(ctx context.Context, c UpConfig, log *slog.Logger, up func(relayURL, natsURL string)) error {
	server, err := natsd.Start(natsd.Config{Dir: filepath.Join(c.Data, "nats"), Listen: c.NATSListen, Log: log})
	if err != nil {
		return err
	}
	defer server.Close()
	if c.Relay == "" {
		home, err := homerelay.Start(ctx, homerelay.Config{Addr: c.RelayAddr, Path: filepath.Join(c.Data, "relay", "events.db"), Log: log})
		if err != nil {
			return err
		}
		defer home.Close()
		c.Relay = home.URL()
	}
	if c.DHT.NodesFile == "" {
		c.DHT.NodesFile = filepath.Join(c.Data, "dht", "nodes")
	}
	nc, err := server.Connect("relaymesh", bus.ConnectOptions("relaymesh", log)...)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	changes, err := bus.Provision(ctx, js, bus.ProvisionOptions{RefreshEvery: c.RefreshEvery})
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		log.Info("provisioned", "changes", len(changes))
	}
	env, err := NewEnv(c.Config, js, log)
	if err != nil {
		return err
	}
	defer env.Close()
	group, ctx := errgroup.WithContext(ctx)
	for name, stage := range stages {
		if !slices.Contains(c.Without, name) {
			group.Go(func() error { return stage(ctx, env) })
		}
	}
	if c.Admin != "" {
		group.Go(func() error { return env.admin(ctx) })
	}
	up(c.Relay, server.URL())
	return group.Wait()
}

var stages = map[string]func(context.Context, *Env) error{
	events.StageIngest:     Ingest,
	events.StageDHTWorker:  DHTWorker,
	events.StageSyncWorker: SyncWorker,
	events.StageFetcher:    Fetcher,
}
