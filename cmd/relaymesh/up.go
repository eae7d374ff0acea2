package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// upFlags are the configuration of the whole pipeline in one process.
type upFlags struct {
	File       kong.ConfigFlag `name:"config" env:"RELAYMESH_CONFIG" placeholder:"FILE" help:"YAML file whose keys are these flags."`
	Data       string          `env:"RELAYMESH_DATA" placeholder:"DIR" help:"Where everything is kept; ~/.local/share/relaymesh by default."`
	NATSListen string          `name:"nats-listen" env:"RELAYMESH_NATS_LISTEN" placeholder:"HOST:PORT" default:"127.0.0.1:4222" help:"Where relays and commands reach the embedded NATS server; empty for nowhere."`
	natsAccess
	natsStore
	RelayAddr      string   `env:"RELAYMESH_RELAY_ADDR" placeholder:"HOST:PORT" default:"127.0.0.1:7777" help:"Without --relay: where the embedded relay listens."`
	TrustedProxies []string `env:"RELAYMESH_TRUSTED_PROXIES" placeholder:"ADDRESS" help:"Addresses or networks (10.0.0.0/8) of proxies before the embedded relay, or before the gateway. Only they are believed which address a client has (X-Forwarded-For); without this all clients behind a proxy share the bounds of one address."`
	RelayURL       string   `name:"relay-url" env:"RELAYMESH_RELAY_URL" placeholder:"URL" help:"Without --relay: the URL by which clients reach the embedded relay, if a proxy or a name of its own leads there. They say who they are to that URL (NIP-42), and ask to vanish from it (NIP-62)."`

	ListIndex  string            `name:"index" env:"RELAYMESH_INDEX" placeholder:"HOST:PORT" group:"List indexes" help:"Serve a list index there; see relaymesh index."`
	ServeIndex config.ServeIndex `embed:"" prefix:"index-" group:"List indexes"`
	Gateway    string            `env:"RELAYMESH_GATEWAY" placeholder:"HOST:PORT" group:"Gateway" help:"Stand before the relay there, and complete its answers from everywhere else. See relaymesh gateway."`
	config.GatewayOptions

	config.Config
	consoleFlags
}

// findData sets the data directory, if it is not set, to where it is by default.
func (f *upFlags) findData() error {
	if f.Data != "" {
		return nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return usage("--data: missing, and there is no home directory: %v", err)
	}
	f.Data = filepath.Join(home, ".local", "share", "relaymesh")
	return nil
}

// ownURL is --relay-url, normalised; empty if it is not set.
func (f *upFlags) ownURL() (string, error) {
	if f.RelayURL == "" {
		return "", nil
	}
	url, err := nostr.NormalizeRelayURL(f.RelayURL, true)
	if err != nil {
		return "", usage("--relay-url: %v", err)
	}
	return url, nil
}

type upCmd struct {
	upFlags
	Without []string `hidden:"" help:"Stages to leave out."`
}

// Run runs the pipeline until a signal.
func (c *upCmd) Run(ctx context.Context, o *output) error {
	if c.NATS != "" {
		return usage("--nats: up has a NATS server of its own; run the four workers to use another one")
	}
	if err := c.findData(); err != nil {
		return err
	}
	url, err := c.ownURL()
	if err != nil {
		return err
	}
	if url != "" {
		c.PublicURLs = append(c.PublicURLs, url)
	}
	if err := c.Check(); err != nil {
		return usage("%v", err)
	}
	c.Config.File = string(c.File)
	log := obs.NewLogger(o.err, c.LogLevel)
	run.KeepRunning()
	// The endpoint ends with the command, also where that fails before there is a pipeline.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return stopped(ctx, c.pipeline(ctx, log, func(relayURL, natsURL string) {
		fmt.Fprintf(o.err, "relaymesh is up: relay %s, NATS %s, data %s\n", relayURL, natsURL, c.Data)
		if c.Admin != "" {
			fmt.Fprintf(o.err, "its console is at http://%s/\n", c.Admin)
		}
		fmt.Fprint(o.err, c.next(relayURL, natsURL))
	}))
}

// stopped is the end of a command that runs until a signal, also where the signal
// comes while it is starting: then what could not be done any more is no failure.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// next says what to do first.
func (c *upCmd) next(relayURL, natsURL string) string {
	text := "next: point a Nostr client at " + relayURL + ", publish a note or a list of relays (kind 10002), and look"
	switch {
	case c.Admin != "":
		return text + " at the console\n"
	case natsURL != "":
		return text + " at what becomes of it: relaymesh status --nats " + natsURL + "\n"
	}
	return text + " at the log\n"
}
