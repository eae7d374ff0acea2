package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/stage/ingest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
	"github.com/relaymesh/relaymesh/pkg/outbox"
)

// Sources are the commands of the ingest binary that take in events from
// elsewhere than NATS, and its default, the stage itself. A new source is a
// command here that hands its events to the outbox of [source.open].
func Sources() []kong.Option {
	return []kong.Option{
		kong.DynamicCommand(runCommand, "Run the stage: take in what NATS and the tailed relays bring. The default.", "", &struct{}{},
			`default:"1"`),
		kong.DynamicCommand("plugin", "Be a write-policy plugin of strfry: accept every event at once, and take it in.", "", &plugin{}),
		kong.DynamicCommand("stdin", "Take in events from standard input, as JSON, one a line. Exits with 3 if some of them are not valid.", "",
			&stdin{}),
	}
}

// source is what these commands have in common.
type source struct {
	Name   string `name:"sender" env:"RELAYMESH_SENDER" placeholder:"NAME" help:"Who hands the events over, such as the relay's URL; by default the command's name."`
	Events int    `name:"spool-events" default:"100000" placeholder:"N" help:"How many events wait in memory at most while NATS is slow or away."`
	MiB    int    `name:"spool-mib" default:"256" placeholder:"N" help:"How many MiB they may take."`
}

// open connects without waiting for the server: what comes meanwhile is held.
func (s source) open(c *config.Config, sender string, log *slog.Logger) (*outbox.Outbox, func(), error) {
	js, err := connectSoon(c.NATS, c.NATSAuth, contract.StageIngest, log)
	if err != nil {
		return nil, nil, err
	}
	if s.Name != "" {
		sender = s.Name
	}
	return spool(js, s.Events, s.MiB, sender, log), js.Conn().Close, nil
}

// connectSoon connects to NATS as a user may be told to, and returns at once: the
// server may be away. The caller closes the connection.
func connectSoon(urls string, auth config.NATSAuth, name string, log *slog.Logger) (jetstream.JetStream, error) {
	opts, err := authOptions(auth, name)
	if err != nil {
		return nil, err
	}
	if err := bus.CheckURLs(urls); err != nil {
		return nil, err
	}
	opts = append(
		append(bus.ConnectOptions(name, log), opts...),
		nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(250*time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond), // the spool is filling
		nats.ReconnectBufSize(-1), // what is published meanwhile fails at once, and the outbox keeps it
	)
	nc, err := nats.Connect(urls, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", bus.Redact(urls), err)
	}
	js, err := bus.JetStream(nc, auth.NATSDomain, auth.NATSPrefix)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return js, nil
}

// spool holds events until they are published.
func spool(js jetstream.JetStream, events, mib int, sender string, log *slog.Logger) *outbox.Outbox {
	return outbox.New(func(ctx context.Context, m outbox.Message) error {
		_, err := js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
		if errors.Is(err, nats.ErrMaxPayload) { // it never would be
			log.WarnContext(ctx, "an event is left out: it is larger than what NATS takes", "err", bus.TooLarge(js.Conn(), len(m.Data)))
			return nil
		}
		return err
	}, outbox.Options{
		MaxEvents: events, MaxBytes: mib << 20, Sender: sender,
		Dropped: func(n int) {
			log.Error("dropped events: NATS is slow or away, and the spool is full", "events", n)
		},
		Failed: func(err error) { log.Warn("could not publish an event, trying again", "err", err) },
	})
}

// plugin is a write-policy plugin of strfry that rejects nothing.
type plugin struct {
	Source source `embed:""`
}

// pluginDrain is how long the plugin publishes on after strfry has ended it,
// which waits for that.
const pluginDrain = 3 * time.Second

// Run answers strfry until it closes standard input or ctx ends.
func (p *plugin) Run(ctx context.Context, c *config.Config, log *slog.Logger) error {
	return p.serve(ctx, c, log, os.Stdin, os.Stdout)
}

func (p *plugin) serve(ctx context.Context, c *config.Config, log *slog.Logger, in io.Reader, to io.Writer) error {
	out, disconnect, err := p.Source.open(c, "strfry", log)
	if err != nil {
		return err
	}
	defer disconnect()
	ended := make(chan error, 1)
	go func() {
		ended <- ingest.Strfry(in, to, func(event []byte) { out.Put(event) }, func(err error) { log.WarnContext(ctx, "from strfry", "err", err) })
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), pluginDrain)
	defer cancel()
	if lost := out.Close(drain); lost > 0 {
		log.ErrorContext(ctx, "events are lost: strfry ended the plugin while NATS was slow or away", "events", lost)
	}
	return err
}

// stdin reads events as JSON lines.
type stdin struct {
	Source source `embed:""`
	Skip   int    `placeholder:"N" help:"Skip the first N lines: where an interrupted run stopped."`
	JSON   bool   `help:"Print what was read as JSON."`
}

// errBadLines says that some of the input was no event.
var errBadLines = errors.New("some lines are no valid events")

// Run reads standard input to its end.
func (s *stdin) Run(ctx context.Context, c *config.Config, log *slog.Logger) error {
	return s.read(ctx, c, log, os.Stdin, os.Stdout)
}

func (s *stdin) read(ctx context.Context, c *config.Config, log *slog.Logger, in io.Reader, to io.Writer) error {
	out, disconnect, err := s.Source.open(c, "stdin", log)
	if err != nil {
		return err
	}
	defer disconnect()
	lines := ingest.Lines{
		Verify: schnorr.VerifyAll, Put: out.PutWait, Flush: out.Flush,
		Bad: func(line int, err error) { log.WarnContext(ctx, "no valid event", "line", line, "err", err) },
	}
	read, err := lines.Read(ctx, in, s.Skip)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), pluginDrain)
	defer cancel()
	out.Close(drain)
	if s.JSON {
		_, _ = fmt.Fprintf(to, "%s\n", nostr.Encode(read))
	} else {
		_, _ = fmt.Fprintf(to, "%d events taken in, %d duplicates, %d bad lines; read up to line %d\n", read.Events, read.Duplicates, read.Bad,
			read.Lines)
	}
	if err != nil {
		return fmt.Errorf("stopped, go on with --skip %d: %w", read.Lines, err)
	}
	if read.Bad > 0 {
		return errBadLines
	}
	return nil
}
