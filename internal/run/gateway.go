package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
	"github.com/relaymesh/relaymesh/internal/edge/gateway"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/edge/slots"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// The bounds of what a gateway holds while NATS is slow or away: those of the
// plugin.
const (
	gatewaySpoolEvents = 100_000
	gatewaySpoolMiB    = 256
)

// GatewayAt says where a gateway stands.
type GatewayAt struct {
	Listen, Relay string
	Proxies       clientaddr.Proxies
	Options       config.GatewayOptions
	Denied        *deny.Lists
	Metrics       prometheus.Registerer
	Files         int // that it may have open; 0 is as many as the process may
}

// StartGateway starts a gateway that asks the pipeline behind a connection to NATS,
// nil for none, and hands it what the relay accepts. stop ends it; then it
// publishes on for as long as ctx allows what is held.
func StartGateway(ctx context.Context, at GatewayAt, js jetstream.JetStream, log *slog.Logger) (
	g *gateway.Gateway, stop func(ctx context.Context) error, err error,
) {
	c := gateway.Config{
		Addr: at.Listen, Relay: at.Relay, Version: Version(), TrustedProxies: at.Proxies, Wait: at.Options.Wait, Files: at.Files,
		Verify: schnorr.Verify, Denied: at.Denied, Registerer: at.Metrics, Log: log,
	}
	if at.Options.TLSCert != "" {
		cert, err := gateway.OpenCertificate(at.Options.TLSCert, at.Options.TLSKey, log)
		if err != nil {
			return nil, nil, fmt.Errorf("--tls-cert: %w", err)
		}
		c.Certificate = cert.Get
	}
	if js == nil {
		g, err = gateway.Start(ctx, c)
		return g, func(context.Context) error { return g.Close() }, err
	}
	out := spool(js, gatewaySpoolEvents, gatewaySpoolMiB, at.Relay, log)
	c.Hear = func(event []byte) { out.Put(event) }
	c.Fetch = fetchBy(js)
	stop = func(ctx context.Context) error {
		err := g.Close()
		if lost := out.Close(ctx); lost > 0 {
			log.ErrorContext(ctx, "events are lost: the gateway was stopped while NATS was slow or away", "events", lost)
		}
		return err
	}
	if g, err = gateway.Start(ctx, c); err != nil {
		out.Close(ctx)
	}
	return g, stop, err
}

// runGateway runs the gateway beside the stages until ctx ends.
func (e *Env) runGateway(ctx context.Context) error {
	at := *e.gateway
	at.Relay, at.Denied, at.Metrics = e.Config.Relay, e.deny.Lists(), e.Metrics
	at.Files = slots.Files() / 2 // the embedded relay may have as many clients in the same process
	g, stop, err := StartGateway(ctx, at, e.JS, e.Log)
	if err != nil {
		return PortError("--gateway", err)
	}
	e.addCondition(contract.ConditionGateway, g.Ready)
	e.addFigures(func(w *contract.Worker) { f := gatewayFigures(at.Relay, g); w.Gateway = &f })
	e.hasBound()
	e.Log.InfoContext(ctx, "the gateway is up", "url", g.URL())
	<-ctx.Done()
	return stopGateway(ctx, stop)
}

// stopGateway gives what is held a moment to be published.
func stopGateway(ctx context.Context, stop func(context.Context) error) error {
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), pluginDrain)
	defer cancel()
	return stop(drain)
}

// errNATSAway spares a request that would wait for its whole time.
var errNATSAway = errors.New("NATS is away")

// fetchBy asks the fetchers behind a connection.
func fetchBy(js jetstream.JetStream) func(context.Context, events.MissingNoteRequest) (events.MissingNoteResponse, error) {
	return func(ctx context.Context, r events.MissingNoteRequest) (events.MissingNoteResponse, error) {
		if !js.Conn().IsConnected() {
			return events.MissingNoteResponse{}, errNATSAway
		}
		return Request[events.MissingNoteResponse](ctx, js, events.ServiceNoteFetch, r)
	}
}

// Gateway runs a gateway, and its admin endpoint if there is to be one, until ctx
// ends. started is told the URL.
func Gateway(ctx context.Context, c config.Gateway, proxies clientaddr.Proxies, log *slog.Logger, started func(url string)) error {
	// The admin endpoint ends with the gateway, also where there is never one.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	admin, err := ListenAdmin(ctx, config.Config{Admin: c.Admin, AdminHosts: c.AdminHosts})
	if err != nil {
		return err
	}
	denied, err := OpenDeny(c.Deny, log)
	if err != nil {
		return err
	}
	var js jetstream.JetStream
	if c.NATS != "" {
		if js, err = connectSoon(c.NATS, c.NATSAuth, contract.RoleGateway, log); err != nil {
			return err
		}
		defer js.Conn().Close()
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector())
	g, stop, err := StartGateway(ctx, GatewayAt{
		Listen: c.Listen, Relay: c.Relay, Proxies: proxies, Options: c.GatewayOptions, Denied: denied.Lists(), Metrics: metrics,
	}, js, log)
	if err != nil {
		return PortError("--listen", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return denied.Watch(ctx) })
	if admin != nil {
		group.Go(admin.Wait)
		admin.Started(metrics, func() []obs.Check {
			return []obs.Check{{Name: "running", Err: ctx.Err()}, {Name: "relay", Err: g.Ready()}}
		}, nil)
	}
	started(g.URL())
	if js != nil {
		group.Go(func() error {
			tellGateway(ctx, js, c.Relay, g, log)
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		return stopGateway(ctx, stop)
	})
	return group.Wait()
}
