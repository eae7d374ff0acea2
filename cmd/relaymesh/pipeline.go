package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/obs/otlp"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/run/peers"
)

// home starts the embedded relay, which follows the deny lists until ctx ends.
func (c *upCmd) home(ctx context.Context, proxies clientaddr.Proxies, log *slog.Logger) (*homerelay.Relay, error) {
	run.BoundGarbage(run.AmpleForAll) // strangers reach this process
	denied, err := run.OpenDeny(c.Deny, log)
	if err != nil {
		return nil, err
	}
	if c.Gateway != "" { // which says from this machine who its clients are
		proxies = append(slices.Clone(proxies), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	}
	config := homerelay.Config{
		Addr: c.RelayAddr, URL: c.RelayURL, Path: c.relayFile(), Log: log,
		TrustedProxies: proxies, Denied: denied.Lists(),
	}
	if info, err := os.Stat(config.Path); err == nil && info.Size() == 0 {
		log.WarnContext(ctx, "the store of the embedded relay is an empty file, as after a crash of the machine, and begins anew",
			"path", config.Path)
	}
	home, err := homerelay.Start(ctx, config)
	if err != nil {
		return nil, run.PortError("--relay-addr", err)
	}
	go denied.Watch(ctx) //nolint:errcheck // it fails by ctx alone
	go run.PurgeDenied(ctx, denied.Lists(), log, home.Purge)
	return home, nil
}

// pipeline runs embedded NATS, the embedded relay unless another one is given,
// and all stages until ctx ends. up is called once everything has been started.
func (c *upCmd) pipeline(ctx context.Context, log *slog.Logger, up func(relayURL, natsURL string)) (err error) {
	proxies, err := clientaddr.Parse(c.TrustedProxies)
	if err != nil {
		return usage("--trusted-proxies: %v", err)
	}
	c.AdminHosts = append(c.AdminHosts, c.ConsoleHosts...)
	admin, err := run.ListenAdmin(ctx, c.Config)
	if err != nil {
		return err
	}
	dir := filepath.Join(c.Data, "nats")
	store, err := natsd.SizeStore(dir, int64(c.NATSMaxStore), log)
	if err != nil {
		return err
	}
	server, err := c.start(natsd.Config{Dir: dir, Listen: c.NATSListen, MaxStore: store.Limit(), Prefix: c.NATSPrefix, Log: log})
	if err != nil {
		return run.PortError("--nats-listen", err)
	}
	defer server.Close()
	options := []run.Option{run.WithCheck("store of NATS", server.Health), run.WithGuard(server.Guard)}
	if admin != nil {
		options = append(options, run.WithAdmin(admin))
	}
	if c.Relay == "" {
		home, err := c.home(ctx, proxies, log)
		if err != nil {
			return err
		}
		defer home.Close()
		c.Relay, c.RelayToken = home.URL(), home.Token()
		options = append(options, run.WithCheck("embedded relay", home.Ready), run.WithGuard(home.Guard))
	}
	if c.P2P.KeyFile == "" {
		c.P2P.KeyFile = filepath.Join(c.Data, "p2p", "key")
	}
	if c.DHT.NodesFile == "" {
		c.DHT.NodesFile = filepath.Join(c.Data, "dht", "nodes")
	}
	if c.Index.KnownFile == "" {
		c.Index.KnownFile = filepath.Join(c.Data, "index", "known.json")
	}
	metrics := prometheus.NewRegistry()
	options = append(options, run.WithMetrics(metrics))
	ctx, wait, err := c.serveIndex(ctx, metrics, log, func(o run.Option) { options = append(options, o) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, wait()) }()
	nc, err := server.Connect("relaymesh", bus.ConnectOptions("relaymesh", log)...)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := bus.JetStream(nc, "", c.NATSPrefix)
	if err != nil {
		return err
	}
	changes, err := bus.Provision(ctx, js, bus.ProvisionOptions{Store: store.Bytes, RefreshEvery: c.RefreshEvery})
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		log.InfoContext(ctx, "provisioned", "changes", len(changes))
	}
	for _, change := range changes {
		log.DebugContext(ctx, "provisioned", "change", change.Done())
	}
	pages, err := c.console(js, log)
	if err != nil {
		return err
	}
	metrics.MustRegister(pages)
	names := slices.DeleteFunc(contract.Stages(), func(name string) bool { return slices.Contains(c.Without, name) })
	options = append(options, run.WithLibp2p(peers.Start), run.WithConsole(pages), run.WithGuard(pages.Run), run.WithTraces(otlp.Start),
		run.WithGuard(func(ctx context.Context) error { return bus.GuardStreams(ctx, js) }))
	if c.Gateway != "" {
		options = append(options, run.WithGateway(run.GatewayAt{Listen: c.Gateway, Proxies: proxies, Options: c.GatewayOptions}))
	}
	return run.Run(ctx, c.Config, js, log, names, func() { up(c.Relay, server.URL()) }, options...)
}

// serveIndex starts the list index of --index, if there is to be one, beside the relay. The context that it returns ends when the
// index does; wait ends it, and returns why it ended before. told gets the option by which the process tells of it.
func (c *upCmd) serveIndex(ctx context.Context, metrics prometheus.Registerer, log *slog.Logger, told func(run.Option)) (
	serving context.Context, wait func() error, err error,
) {
	if c.ListIndex == "" {
		return ctx, func() error { return nil }, nil
	}
	conf := c.Config
	conf.Index.KnownFile, conf.DHT.NodesFile, conf.Admin = "", "", "" // those of the index are its own, and so is its DHT node
	if host, _, err := net.SplitHostPort(conf.DHT.Listen); err == nil {
		conf.DHT.Listen = net.JoinHostPort(host, "0")
	}
	index, err := listIndex(c.ServeIndex, "--index-", c.ListIndex, c.TrustedProxies, c.Data, conf, log)
	if err != nil {
		return ctx, nil, err
	}
	index.Flag, index.Home, index.Token, index.Metrics = "--index", c.Relay, c.RelayToken, metrics
	index.Told = func(ready func() error, figures func() contract.Index) { told(run.WithIndex(ready, figures)) }
	bound := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return index.Run(ctx, func(url string) {
			log.InfoContext(ctx, "the list index is up", "relay", url)
			close(bound)
		})
	})
	select { // nothing is up before its ports are bound
	case <-bound:
	case <-ctx.Done():
		cancel()
		return ctx, nil, cmp.Or(group.Wait(), ctx.Err())
	}
	return ctx, func() error { cancel(); return group.Wait() }, nil
}

// relayFile is where the embedded relay keeps its events.
func (f *upFlags) relayFile() string { return filepath.Join(f.Data, "relay", "events.db") }
