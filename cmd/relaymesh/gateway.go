package main

import (
	"context"
	"fmt"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/run"
)

type gatewayCmd struct {
	File           kong.ConfigFlag `name:"config" env:"RELAYMESH_CONFIG" placeholder:"FILE" help:"YAML file whose keys are these flags."`
	TrustedProxies []string        `env:"RELAYMESH_TRUSTED_PROXIES" placeholder:"ADDRESS" help:"Addresses or networks (10.0.0.0/8) of proxies before the gateway. Only they are believed which address a client has (X-Forwarded-For); without this all clients behind a proxy share the bounds of one address."`
	config.Gateway
}

// Help is the long help text.
func (*gatewayCmd) Help() string {
	return "Clients connect to the gateway instead of the relay, and meet the relay itself: every message passes as it is. Of what a REQ " +
		"names by id, by address, or as the list or profile of an author, the fetchers of the pipeline find what the relay lacks, and the " +
		"client gets it before EOSE. What the relay accepts is taken in by the pipeline: neither a plugin nor a tail is needed for it.\n\n" +
		run.ExitHelp
}

// Run serves until a signal.
func (c *gatewayCmd) Run(ctx context.Context, o *output) error {
	proxies, err := clientaddr.Parse(c.TrustedProxies)
	if err != nil {
		return usage("--trusted-proxies: %v", err)
	}
	log := obs.NewLogger(o.err, c.LogLevel)
	run.KeepRunning()
	return stopped(ctx, run.Gateway(ctx, c.Gateway, proxies, log, func(url string) {
		run.Notify(ctx)
		fmt.Fprintf(o.err, "the gateway is up: clients reach relay %s at %s\n", c.Relay, url)
	}))
}
