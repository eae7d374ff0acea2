package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/obs"
)

// Env is what the stages of one process share.
type Env struct {
	Config  config.Config
	Log     *slog.Logger
	JS      jetstream.JetStream
	Metrics *prometheus.Registry

	relays  relays
	deny    *config.DenyFiles
	libp2p  StartLibp2p  // nil: not linked
	console http.Handler // nil: none
	start   StartTraces  // nil: not linked
	traces  trace.TracerProvider
	dropped *prometheus.CounterVec // requests of services, by stage

	gateway *GatewayAt // nil for none

	admin  *obs.Admin                    // nil: listens with the stages, or nowhere
	guards []func(context.Context) error // see WithGuard
	bound  chan struct{}                 // gets something of each stage that has bound its ports

	mu     sync.Mutex
	checks []check    // what must hold for the process to be ready
	buses  []*bus.Bus // of the stages that run
	tells  []func(*contract.Worker)
}

// NewEnv prepares the stages to run over a NATS connection, which stays the
// caller's. Close ends the connections to relays.
func NewEnv(c config.Config, js jetstream.JetStream, log *slog.Logger) (*Env, error) {
	denied, err := OpenDeny(c.Deny, log)
	if err != nil {
		return nil, err
	}
	options := relay.Options{AllowPrivate: c.AllowPrivate, Denied: denied.Lists(), Log: log, Budget: &hosts.Budget{}, Agent: agent()}
	if c.NsecFile != "" {
		key, err := schnorr.ReadSecretFile(c.NsecFile)
		if err != nil {
			return nil, fmt.Errorf("--nsec-file: %w", err)
		}
		options.Auth = key.SignEvent
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector())
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "relaymesh_service_requests_dropped_total",
		Help: "Requests of a NATS service that were not answered: their reply subject is no inbox.",
	}, []string{"stage"})
	metrics.MustRegister(dropped)
	return &Env{
		Config: c, Log: log, JS: js, Metrics: metrics, dropped: dropped, relays: newRelays(c, options), deny: denied,
		bound: make(chan struct{}, len(stages)+1),
	}, nil
}

// WithAdmin has the stages told of by an endpoint that listens already.
func WithAdmin(admin *obs.Admin) Option { return func(e *Env) { e.admin = admin } }

// WithGuard runs a function beside the stages, until its context ends; its error ends
// them.
func WithGuard(guard func(context.Context) error) Option {
	return func(e *Env) { e.guards = append(e.guards, guard) }
}

// hasBound says that a stage, or the gateway, has bound its ports.
func (e *Env) hasBound() { e.bound <- struct{}{} }

// WithConsole serves the console on the admin endpoint, if there is one.
func WithConsole(console http.Handler) Option { return func(e *Env) { e.console = console } }

// WithGateway runs a gateway before the relay, too.
func WithGateway(at GatewayAt) Option { return func(e *Env) { e.gateway = &at } }

// WithCheck adds a condition of readiness, which may take a second or two.
func WithCheck(name string, holds func() error) Option {
	return func(e *Env) { e.addCheck(name, holds) }
}

// WithIndex tells of a list index that runs beside the stages, see [ListIndex.Told].
func WithIndex(ready func() error, figures func() contract.Index) Option {
	return func(e *Env) {
		e.addCondition(contract.ConditionIndex, ready)
		e.addFigures(func(w *contract.Worker) {
			is := figures()
			w.Index = &is
		})
	}
}

// WithMetrics adds what another part of the process tells of itself.
func WithMetrics(c prometheus.Collector) Option {
	return func(e *Env) { e.Metrics.MustRegister(undescribed{c}) }
}

// undescribed is a collector that may come to have more metrics after it was registered.
type undescribed struct{ prometheus.Collector }

func (undescribed) Describe(chan<- *prometheus.Desc) {}

// Close ends the connections to relays.
func (e *Env) Close() { e.relays.close() }

// check is a condition of readiness, or one that is only told (see [Env.addCondition]).
type check struct {
	name  string
	holds func() error
	only  bool
}

// addCheck adds a condition of readiness.
func (e *Env) addCheck(name string, holds func() error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.checks = append(e.checks, check{name: name, holds: holds})
}

// addCondition adds what the process says of itself beside its readiness: it may be
// wrong for reasons that no restart and no other process mends.
func (e *Env) addCondition(name string, holds func() error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.checks = append(e.checks, check{name, holds, true})
}

// ready looks at all conditions of readiness. Of one that ends they say nothing: it takes them away itself.
func (e *Env) ready(ctx context.Context) []obs.Check {
	if ctx.Err() != nil {
		return []obs.Check{{Name: "running", Err: errors.New("draining")}}
	}
	list := []obs.Check{{Name: "running"}, {Name: "NATS"}}
	if !e.JS.Conn().IsConnected() {
		list[1].Err = errors.New("not connected")
	}
	for _, c := range e.checked() {
		if !c.only {
			list = append(list, obs.Check{Name: c.name, Err: c.holds()})
		}
	}
	return list
}

// checked returns what is to be looked at: a check may take a second.
func (e *Env) checked() []check {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.checks)
}

func (e *Env) bus(stageName string) (*bus.Bus, error) {
	b, err := bus.New(e.JS, bus.Options{
		Stage: stageName, Log: e.Log, Drain: e.Config.Drain, Registerer: e.Metrics, Traces: e.traces,
	})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.buses = append(e.buses, b)
	e.mu.Unlock()
	e.addCheck("writes of "+stageName, b.Stalled)
	e.addCheck("streams of "+stageName, b.Unwritable)
	e.addCheck("consumers of "+stageName, func() error {
		select {
		case <-b.Running():
			return nil
		default:
			return errors.New("not subscribed yet")
		}
	})
	return b, nil
}

// alive says which stage stands still whatever NATS does; nil is none.
func (e *Env) alive() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.buses {
		if err := b.Alive(); err != nil {
			return err
		}
	}
	return nil
}

// consumer finds the consumer of that name which does a stage's own work.
func consumer(name string) contract.Consumer {
	for _, c := range contract.Consumers() {
		if c.Name == name && c.Stream != contract.StreamRetry && c.Stream != contract.StreamAdvisories {
			return c
		}
	}
	panic("run: no consumer is named " + name)
}

// needRelay is the error of a stage that writes to the relay it stands beside.
func needRelay(c config.Config, stageName string) error {
	if c.Relay == "" {
		return errors.New("--relay: " + stageName + " needs the URL of the relay to stand beside")
	}
	return nil
}
