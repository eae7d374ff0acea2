package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/console"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/run"
)

// consoleFlags say who may do what at the console.
type consoleFlags struct {
	ConsoleTokenFile string   `env:"RELAYMESH_CONSOLE_TOKEN_FILE" placeholder:"FILE" group:"Operation" help:"File with the token, of 16 characters or more, that lets retry and drop dead letters at the console; without it nobody can."`
	ConsoleBasePath  string   `env:"RELAYMESH_CONSOLE_BASE_PATH" placeholder:"PATH" group:"Operation" help:"Path below which browsers reach the console through a reverse proxy, such as /relaymesh; the proxy may pass it on or take it away."`
	ConsoleHosts     []string `env:"RELAYMESH_CONSOLE_HOSTS" placeholder:"NAME" group:"Operation" help:"Names by which browsers reach the console, through a reverse proxy for instance; localhost and IP addresses always do."`
}

// options are those of a console.
func (f consoleFlags) options(log *slog.Logger) (o console.Options, err error) {
	o = console.Options{Hosts: f.ConsoleHosts, Log: log}
	if o.Base, err = basePath(f.ConsoleBasePath); err != nil {
		return o, usage("--console-base-path: %v", err)
	}
	if f.ConsoleTokenFile != "" {
		if o.Token, err = console.ReadToken(f.ConsoleTokenFile); err != nil {
			return o, usage("--console-token-file: %v", err)
		}
	}
	return o, nil
}

// console makes the console over a connection.
func (f consoleFlags) console(js jetstream.JetStream, log *slog.Logger) (*console.Console, error) {
	o, err := f.options(log)
	if err != nil {
		return nil, err
	}
	return console.New(js, o), nil
}

// basePath brings a path into the form that the console wants.
func basePath(given string) (string, error) {
	if given == "" {
		return "", nil
	}
	clean := path.Clean("/" + given)
	if u, err := url.Parse(clean); err != nil || u.Path != clean || u.RawQuery != "" || strings.ContainsAny(clean, "%;\\") {
		return "", fmt.Errorf("%.100q: want a path such as /relaymesh", given)
	}
	return strings.TrimSuffix(clean, "/"), nil
}

type consoleCmd struct {
	File kong.ConfigFlag `name:"config" env:"RELAYMESH_CONFIG" placeholder:"FILE" help:"YAML file whose keys are these flags."`
	remote
	Admin string `env:"RELAYMESH_ADMIN" default:"127.0.0.1:9464" placeholder:"HOST:PORT" group:"Operation" help:"Serve the console there, and /metrics, /livez and /readyz."`
	consoleFlags
	ConsolePrefixes []contract.Prefix `env:"RELAYMESH_CONSOLE_PREFIXES" placeholder:"NAME" group:"Operation" help:"Show several pipelines that share the NATS account on one page, by their prefixes (--nats-prefix); - is the one without."`
	LogLevel        string            `env:"RELAYMESH_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" group:"Operation" help:"Least level that is logged: debug, info, warn or error."`
}

// Help is the long help text.
func (*consoleCmd) Help() string {
	return "Everybody who reaches it may look at what the pipeline does. To retry or drop dead letters takes the token."
}

// Run serves until a signal.
func (c *consoleCmd) Run(ctx context.Context, o *output) (err error) {
	log := obs.NewLogger(o.err, c.LogLevel)
	run.KeepRunning()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	admin, err := obs.ListenAdmin(ctx, c.Admin, c.ConsoleHosts)
	if err != nil {
		return run.PortError("--admin", err)
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector())
	pages, pipelines, err := c.pages(ctx, metrics, log)
	defer func() {
		for _, js := range pipelines {
			disconnect(js, &err)
		}
	}()
	if err != nil {
		return stopped(ctx, err)
	}
	go pages.Run(ctx) //nolint:errcheck // it ends with ctx alone
	admin.Started(metrics, func() []obs.Check {
		nats := obs.Check{Name: "NATS"}
		for _, js := range pipelines {
			if !js.Conn().IsConnected() {
				nats.Err = errors.New("not connected")
			}
		}
		return []obs.Check{nats}
	}, pages)
	run.Notify(ctx)
	fmt.Fprintf(o.err, "the console is at http://%s/\n", c.Admin)
	return admin.Wait()
}

// pages are those of a console, or of one over several pipelines.
type pages interface {
	http.Handler
	Run(ctx context.Context) error
}

// pages connects to the pipelines, whose connections the caller closes, also after an error, and makes their pages, with metrics.
// Of several each has the metrics of its own, by the label pipeline.
func (c *consoleCmd) pages(ctx context.Context, metrics prometheus.Registerer, log *slog.Logger) (
	_ pages, pipelines map[string]jetstream.JetStream, err error,
) {
	pipelines = map[string]jetstream.JetStream{}
	options, err := c.options(log)
	if err != nil {
		return nil, pipelines, err
	}
	prefixes := c.ConsolePrefixes
	if len(prefixes) == 0 {
		prefixes = []contract.Prefix{c.NATSPrefix}
	}
	for _, prefix := range prefixes {
		auth, name := c.NATSAuth, string(prefix)
		if auth.NATSPrefix = prefix; prefix == noPrefix {
			auth.NATSPrefix = ""
		}
		if err := config.CheckPrefix(auth.NATSPrefix); err != nil {
			return nil, pipelines, usage("--console-prefixes: %v", err)
		}
		if pipelines[name] != nil {
			return nil, pipelines, usage("--console-prefixes: %s is there twice", name)
		}
		if pipelines[name], err = run.Dial(ctx, c.NATS, auth, contract.RoleConsole, log); err != nil {
			delete(pipelines, name)
			return nil, pipelines, err
		}
	}
	if len(c.ConsolePrefixes) == 0 {
		one := console.New(pipelines[string(c.NATSPrefix)], options)
		metrics.MustRegister(one)
		return one, pipelines, nil
	}
	many := console.NewMany(pipelines, options)
	for name := range pipelines {
		prometheus.WrapRegistererWith(prometheus.Labels{"pipeline": name}, metrics).MustRegister(many.Console(name))
	}
	return many, pipelines, nil
}

// noPrefix is how the pipeline without a prefix is named among others.
const noPrefix = "-"
