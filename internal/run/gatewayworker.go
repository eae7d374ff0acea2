package run

import (
	"errors"
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
	"github.com/relaymesh/relaymesh/internal/obs"
)

// GatewayWorker is main of the binary that runs a gateway alone; the result is the
// exit code.
func GatewayWorker() int {
	var cli struct {
		Version        kong.VersionFlag `help:"Print the version."`
		File           kong.ConfigFlag  `name:"config" env:"RELAYMESH_CONFIG" placeholder:"FILE" help:"YAML file whose keys are these flags."`
		TrustedProxies []string         `env:"RELAYMESH_TRUSTED_PROXIES" placeholder:"ADDRESS" help:"Addresses or networks (10.0.0.0/8) of proxies before the gateway. Only they are believed which address a client has (X-Forwarded-For)."`
		config.Gateway
	}
	const name = "gateway"
	ctx, stop := Signals()
	defer stop()
	KeepRunning()
	config.UnsetEmpty()
	parser := kong.Must(&cli, kong.Name(name), kong.Description("Stand before a relay and complete its answers.\n\n"+ExitHelp),
		kong.Configuration(config.Load), kong.Vars{"version": Version()})
	_, err := parser.Parse(os.Args[1:])
	proxies, proxyErr := clientaddr.Parse(cli.TrustedProxies)
	if err = errors.Join(err, proxyErr); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return ExitUsage
	}
	log := obs.NewLogger(os.Stderr, cli.LogLevel)
	err = Gateway(ctx, cli.Gateway, proxies, log, func(url string) {
		log.InfoContext(ctx, "started", "url", url, "relay", cli.Relay)
		Notify(ctx)
	})
	if err != nil && ctx.Err() == nil {
		log.Error("stopped", "err", err)
		return ExitFailed
	}
	return ExitOK
}
