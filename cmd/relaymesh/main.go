// Command relaymesh is the operator's tool: it runs the whole pipeline in one
// process, shows that it works, and reads and publishes relay lists.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/run"
)

type cli struct {
	Version kong.VersionFlag `help:"Print the version."`

	Up        upCmd        `cmd:"" help:"Run the whole pipeline in this process, with an embedded NATS server."`
	Demo      demoCmd      `cmd:"" help:"Build a small world on loopback and show in it what relaymesh promises."`
	Sync      syncCmd      `cmd:"" help:"Sync two relays with each other, once; no pipeline needed."`
	Resolve   resolveCmd   `cmd:"" help:"Read a relay list from the DHT."`
	Publish   publishCmd   `cmd:"" help:"Sign a relay list and send it on its way to the DHT."`
	DHT       dhtCmd       `cmd:"" name:"dht" help:"Look at the DHT itself."`
	Status    statusCmd    `cmd:"" help:"Show what waits in each stage and what is known."`
	NATS      natsCmd      `cmd:"" name:"nats" help:"Run the embedded NATS server alone."`
	Provision provisionCmd `cmd:"" help:"Make or migrate streams, consumers and buckets."`
}

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// execute runs one command and returns the exit code: data goes to stdout,
// what people read to stderr.
func execute(args []string, stdout, stderr io.Writer) int {
	ctx, stop := run.Signals()
	defer stop()
	exit := -1
	var c cli
	parser := kong.Must(
		&c, kong.Name("relaymesh"), kong.Writers(stdout, stderr), kong.Configuration(config.Load),
		kong.Description("Make a Nostr relay's users findable and the relay complete.\n\n"+run.ExitHelp),
		kong.Vars{"version": version()}, kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(func(code int) { exit = code }),
	)
	parsed, err := parser.Parse(args)
	if exit >= 0 {
		return exit // help or version
	}
	if err != nil {
		fmt.Fprintf(stderr, "relaymesh: %v\n", err)
		return run.ExitUsage
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(&output{stdout, stderr})
	switch err := parsed.Run(); {
	case err == nil:
		return run.ExitOK
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "relaymesh: %v\n", err)
		return run.ExitUsage
	case errors.Is(err, errPartly):
		fmt.Fprintf(stderr, "relaymesh: %v\n", err)
		return run.ExitPartly
	case ctx.Err() != nil:
		return run.ExitInterrupted
	default:
		fmt.Fprintf(stderr, "relaymesh: %v\n", err)
		return run.ExitFailed
	}
}

// errUsage marks an error in what the user gave.
var errUsage = errors.New("usage")

func usage(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errUsage}, args...)...)
}

// output is where a command writes: out is data, err is for people.
type output struct{ out, err io.Writer }

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
