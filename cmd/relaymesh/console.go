package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

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

// console makes the console over a connection.
func (f consoleFlags) console(js jetstream.JetStream, log *slog.Logger) (*console.Console, error) {
	base, err := basePath(f.ConsoleBasePath)
	if err != nil {
		return nil, usage("--console-base-path: %v", err)
	}
	options := console.Options{Hosts: f.ConsoleHosts, Base: base, Log: log}
	if f.ConsoleTokenFile != "" {
		token, err := console.ReadToken(f.ConsoleTokenFile)
		if err != nil {
			return nil, usage("--console-token-file: %v", err)
		}
		options.Token = token
	}
	return console.New(js, options), nil
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
	LogLevel string `env:"RELAYMESH_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" group:"Operation" help:"Least level that is logged: debug, info, warn or error."`
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
	js, err := run.Dial(ctx, c.NATS, c.NATSAuth, contract.RoleConsole, log)
	if err != nil {
		return stopped(ctx, err)
	}
	defer disconnect(js, &err)
	pages, err := c.console(js, log)
	if err != nil {
		return err
	}
	go pages.Run(ctx) //nolint:errcheck // it ends with ctx alone
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(), pages)
	admin.Started(metrics, func() []obs.Check {
		nats := obs.Check{Name: "NATS"}
		if !js.Conn().IsConnected() {
			nats.Err = errors.New("not connected")
		}
		return []obs.Check{nats}
	}, pages)
	run.Notify(ctx)
	fmt.Fprintf(o.err, "the console is at http://%s/\n", c.Admin)
	return admin.Wait()
}
