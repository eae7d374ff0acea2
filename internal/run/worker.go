package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/obs"
)

// Exit codes of every binary.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitPartly      = 3
	ExitInterrupted = 130
)

// ExitHelp stands in every help text.
const ExitHelp = "Exit codes: 0 ok, 1 failed, 2 usage or configuration, 130 interrupted."

var stages = map[string]func(context.Context, *Env) error{
	contract.StageIngest:     Ingest,
	contract.StageDHTWorker:  DHTWorker,
	contract.StageSyncWorker: SyncWorker,
	contract.StageFetcher:    Fetcher,
}

// Run runs some of the stages, and the admin endpoint if there is to be one,
// over a NATS connection until ctx ends or one of them fails. started is
// called when all have bound their ports, and systemd is told.
func Run(ctx context.Context, c config.Config, js jetstream.JetStream, log *slog.Logger, names []string, started func(),
	options ...Option,
) error {
	env, err := NewEnv(c, js, log)
	if err != nil {
		return err
	}
	defer env.Close()
	for _, o := range options {
		o(env)
	}
	flush, err := env.startTraces(names)
	if err != nil {
		return err
	}
	defer flush()
	group, ctx := errgroup.WithContext(ctx)
	if env.admin == nil && c.Admin != "" {
		if env.admin, err = ListenAdmin(ctx, c); err != nil {
			return err
		}
		group.Go(env.admin.Wait)
	}
	if env.admin != nil {
		env.admin.Started(env.Metrics, func() []obs.Check { return env.ready(ctx) }, env.console)
	}
	for _, name := range names {
		group.Go(func() error { return stages[name](ctx, env) })
	}
	for _, guard := range env.guards {
		group.Go(func() error { return guard(ctx) })
	}
	parts := len(names) // that bind ports
	if env.gateway != nil {
		parts++
		group.Go(func() error { return env.runGateway(ctx) })
	}
	group.Go(func() error { return env.deny.Watch(ctx) })
	group.Go(func() error { env.tellConditions(ctx, names); return nil })
	group.Go(func() error {
		for range parts {
			select {
			case <-env.bound:
			case <-ctx.Done():
				return nil
			}
		}
		notify(ctx, env.alive)
		started()
		return nil
	})
	return group.Wait()
}

// ListenAdmin has the admin endpoint of a configuration answer that the process lives,
// until ctx ends; nil if there is to be none.
func ListenAdmin(ctx context.Context, c config.Config) (*obs.Admin, error) {
	if c.Admin == "" {
		return nil, nil //nolint:nilnil // as said above
	}
	admin, err := obs.ListenAdmin(ctx, c.Admin, c.AdminHosts)
	return admin, PortError("--admin", err)
}

// PortError adds to an error of listening the flag that says where, and what to do;
// other errors, and nil, stay as they are.
func PortError(flag string, err error) error {
	listen := (*net.OpError)(nil)
	switch {
	case !errors.As(err, &listen) || listen.Op != "listen":
		return err
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %w: another program has this port; stop it, or choose another one with %s", flag, err, flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: %w: this machine has no such address; choose one that it has, or 0.0.0.0 for all", flag, err)
	}
	return fmt.Errorf("%s: %w", flag, err)
}

// Worker is main of the worker binary that is named like its stage: it reads
// the configuration, connects to NATS, and runs the stage until a signal (see
// [Signals]). The result is the exit code; stopping on a signal is 0, also before the
// stage has begun, as supervisors expect. commands are what else the binary can do.
func Worker(name, help string, options []Option, commands ...kong.Option) int {
	ctx, stop := Signals()
	defer stop()
	KeepRunning()
	BoundGarbage(AmpleForOne)
	var cli struct {
		Version kong.VersionFlag `help:"Print the version."`
		File    kong.ConfigFlag  `name:"config" env:"RELAYMESH_CONFIG" placeholder:"FILE" help:"YAML file whose keys are these flags."`
		config.Config
	}
	commands = append(commands, kong.Name(name), kong.Description(help+"\n\n"+ExitHelp), kong.Configuration(config.Load),
		kong.Vars{"version": Version()}, kong.ValueFormatter(config.HelpText))
	config.UnsetEmpty()
	parser := kong.Must(&cli, commands...)
	config.Hide(parser.Model, func(_ *kong.Node, flag *kong.Flag) bool { return OtherBuild(flag.Name) || !usedBy(name, flag) })
	parsed, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\nSee %s --help\n", name, err, name)
		return ExitUsage
	}
	cli.Config.File = string(cli.File)
	if cli.NATS == "" {
		fmt.Fprintf(os.Stderr, "%s: --nats: missing; give the URL of a NATS server, or run all stages with relaymesh up\n", name)
		return ExitUsage
	}
	log := obs.NewLogger(os.Stderr, cli.LogLevel)
	for _, warning := range config.ExposedSecrets(parsed) {
		log.Warn(warning) //nolint:sloglint // names flag and file
	}
	if command := parsed.Selected(); command != nil && command.Name != runCommand {
		parsed.Bind(&cli.Config, log)
		parsed.BindTo(ctx, (*context.Context)(nil))
		return exitCode(ctx, parsed.Run(), log)
	}
	if err := worker(ctx, cli.Config, name, log, options); err != nil && ctx.Err() == nil {
		log.Error("stopped", "err", err)
		return ExitFailed
	}
	return ExitOK
}

// runCommand is what a worker with commands does if none is given.
const runCommand = "run"

func exitCode(ctx context.Context, err error, log *slog.Logger) int {
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, errBadLines):
		log.WarnContext(ctx, "done, in part", "err", err)
		return ExitPartly
	}
	log.ErrorContext(ctx, "stopped", "err", err)
	if ctx.Err() != nil {
		return ExitInterrupted
	}
	return ExitFailed
}

func worker(ctx context.Context, c config.Config, name string, log *slog.Logger, options []Option) error {
	// It ends with the worker, also where the worker fails before there is a stage.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	admin, err := ListenAdmin(ctx, c)
	if err != nil {
		return err
	}
	if admin != nil {
		options = append(options, WithAdmin(admin))
	}
	js, err := Dial(ctx, c.NATS, c.NATSAuth, name, log)
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	return bus.Explain(js.Conn(), Run(ctx, c, js, log, []string{name}, func() { log.InfoContext(ctx, "started", "stage", name) }, options...))
}

// Dial connects to NATS as a user may be told to; name is the connection's, and
// its inbox is "_INBOX_" and the name, after the prefix of the pipeline. The caller closes the connection.
func Dial(ctx context.Context, urls string, auth config.NATSAuth, name string, log *slog.Logger) (jetstream.JetStream, error) {
	opts, err := authOptions(auth, name)
	if err != nil {
		return nil, err
	}
	nc, err := bus.Dial(ctx, urls, name, log, opts...)
	if err != nil {
		return nil, err
	}
	return bus.JetStream(nc, auth.NATSDomain, auth.NATSPrefix)
}

// authOptions are for after [bus.ConnectOptions].
func authOptions(a config.NATSAuth, name string) ([]nats.Option, error) {
	opts, err := bus.Auth{Creds: a.NATSCreds, CA: a.NATSCA, Cert: a.NATSCert, Key: a.NATSKey}.Options()
	return append(opts, nats.CustomInboxPrefix(contract.InboxPrefix(a.NATSPrefix.Name(name)))), err
}
