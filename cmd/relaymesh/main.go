// Command relaymesh is the operator's tool: it runs the whole pipeline in one
// process, shows that it works, and reads and publishes relay lists.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf16"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"golang.org/x/term"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

type cli struct {
	Version kong.VersionFlag `help:"Print the version."`

	Up        upCmd        `cmd:"" help:"Run the whole pipeline in this process, with an embedded NATS server."`
	Sync      syncCmd      `cmd:"" help:"Sync two relays with each other, once; no pipeline needed."`
	Resolve   resolveCmd   `cmd:"" help:"Read a relay list from the DHT, or from list indexes that are found there."`
	Index     indexCmd     `cmd:"" help:"Serve a list index: the lists of everybody, found by anyone on the DHT."`
	Fetch     fetchCmd     `cmd:"" help:"Find a note, and if asked its thread, wherever it may be."`
	Publish   publishCmd   `cmd:"" help:"Sign a relay list and send it on its way to the DHT."`
	DHT       dhtCmd       `cmd:"" name:"dht" help:"Look at the DHT itself."`
	Top       topCmd       `cmd:"" help:"Show the first page of the console in the terminal: what is wrong, who can be found, what is complete."`
	Status    statusCmd    `cmd:"" help:"Show what waits in each stage and what is known."`
	Survey    surveyCmd    `cmd:"" help:"Show where our authors were looked for beyond the relays of their lists, and what that yielded; or start it."`
	NATS      natsCmd      `cmd:"" name:"nats" help:"Run the embedded NATS server alone."`
	Provision provisionCmd `cmd:"" help:"Make or migrate streams, consumers and buckets."`

	Console consoleCmd `cmd:"" help:"Serve the web console of a running pipeline."`
	Gateway gatewayCmd `cmd:"" help:"Stand before a relay and complete its answers from everywhere else."`

	NATSPermissions permissionsCmd `cmd:"" name:"nats-permissions" help:"Print what the NATS user of a stage may publish and subscribe to."`

	Deny   denyCmd   `cmd:"" help:"Change the deny lists: keys, events, kinds, hosts and words that relaymesh is to have nothing to do with."`
	DLQ    dlqCmd    `cmd:"" name:"dlq" help:"Look at dead letters, retry them or drop them."`
	Doctor doctorCmd `cmd:"" help:"Check NATS, the relay and the DHT, and say what to do."`
	Config configCmd `cmd:"" help:"Print the effective configuration of up and where each value comes from."`

	Completion kongcompletion.Completion `cmd:"" help:"Print what makes a shell complete commands and flags."`
	Man        manCmd                    `cmd:"" hidden:"" help:"Print the manual page."`
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
		kong.Description("Make a Nostr relay's users findable and the relay complete."), kong.Help(help),
		kong.Vars{"version": run.Version()}, kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.ValueFormatter(config.HelpText),
		kong.Exit(func(code int) { exit = code }),
	)
	config.Hide(parser.Model, useless)
	config.UnsetEmpty()
	kongcompletion.Register(parser)
	if exit >= 0 {
		return exit // completed a command line
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 {
		return exit // help or version
	}
	if err != nil {
		page := "relaymesh"
		if wrong := (*kong.ParseError)(nil); errors.As(err, &wrong) {
			page = pageOf(wrong.Context)
		}
		fmt.Fprintf(stderr, "relaymesh: %v\nsee %s --help\n", err, page)
		return run.ExitUsage
	}
	for _, warning := range config.ExposedSecrets(parsed) {
		fmt.Fprintf(stderr, "relaymesh: warning: %s\n", printable(warning))
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(&output{stdout, stderr})
	err = parsed.Run()
	if exit >= 0 {
		return exit // printed the code of a completion
	}
	code := exitCode(ctx, err)
	if err != nil && code != run.ExitInterrupted {
		complain(stderr, wantsJSON(parsed), code, err)
		if code == run.ExitUsage && !wantsJSON(parsed) {
			fmt.Fprintf(stderr, "see %s --help\n", pageOf(parsed))
		}
	}
	return code
}

// pageOf is the command that a command line has named, as far as it has.
func pageOf(ctx *kong.Context) string {
	page := "relaymesh"
	if node := ctx.Selected(); node != nil {
		page += " " + strings.TrimSpace(strings.TrimPrefix(node.FullPath(), "relaymesh"))
	}
	return page
}

// useless flags are those of other builds, and of the workers alone, with which up
// shares its configuration: it has a NATS server of its own.
func useless(command *kong.Node, flag *kong.Flag) bool {
	own := command.Name == "up" || command.Name == "config"
	return run.OtherBuild(flag.Name) || own && (flag.Name == "nats" || run.NATSAuthFlag(flag.Name))
}

func exitCode(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return run.ExitOK
	case errors.Is(err, errUsage):
		return run.ExitUsage
	case errors.Is(err, errPartly):
		return run.ExitPartly
	case ctx.Err() != nil:
		return run.ExitInterrupted
	}
	return run.ExitFailed
}

// wantsJSON reports whether --json is set.
func wantsJSON(ctx *kong.Context) bool {
	for _, flag := range ctx.Flags() {
		if on, _ := flag.Target.Interface().(bool); on && flag.Name == "json" {
			return true
		}
	}
	return false
}

// complain says on stderr why a command failed; with --json as an object whose
// fields are stable.
func complain(stderr io.Writer, asJSON bool, code int, err error) {
	why := nsec.ReplaceAllString(err.Error(), "nsec1…")
	lines := strings.Split(why, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	why = strings.Join(lines, "\n")
	if !asJSON {
		fmt.Fprintf(stderr, "relaymesh: %s\n", why)
		return
	}
	_ = json.NewEncoder(stderr).Encode(struct {
		Type string `json:"message_type"`
		Code int    `json:"code"`
		Why  string `json:"error"`
	}{"exit_error", code, why}) // nobody is left to tell
}

// nsec is a secret key where a public one or a note belongs: errors repeat what
// was given, and reach logs.
var nsec = regexp.MustCompile(`(?i)nsec1[02-9ac-hj-np-z]{10,}`)

// help is kong's, with the exit codes at the end of every page; a command that
// has some of its own says so itself.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	if node := ctx.Selected(); node == nil || !strings.Contains(node.Detail, "Exit codes:") {
		fmt.Fprintf(ctx.Stdout, "\n%s\n", run.ExitHelp)
	}
	return nil
}

// errUsage marks an error in what the user gave.
var errUsage = errors.New("usage")

func usage(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errUsage}, args...)...)
}

// output is where a command writes: out is data, err is for people.
type output struct{ out, err io.Writer }

// json writes a value as a line.
func (o *output) json(v any) error {
	_, err := o.data().Write(append(nostr.Encode(v), '\n'))
	return err
}

// data takes JSON: byte by byte as it is, but on a terminal with escapes for the
// characters that would act on it instead of being seen.
func (o *output) data() io.Writer {
	if f, ok := o.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return escaping{f}
	}
	return o.out
}

// escaping writes JSON to a terminal.
type escaping struct{ to io.Writer }

func (w escaping) Write(p []byte) (int, error) {
	var b strings.Builder
	for _, r := range string(p) {
		if r < ' ' || printable(string(r)) == string(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	if _, err := io.WriteString(w.to, b.String()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// printable makes a stranger's text safe for a terminal.
func printable(s string) string { return nostr.Printable(s, 1<<20) }
