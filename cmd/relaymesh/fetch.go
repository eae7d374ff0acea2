package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

type fetchCmd struct {
	What    string        `arg:"" name:"note" help:"note1…, nevent1…, naddr1…, the 64 hex digits of an id, or kind:pubkey:d."`
	Author  string        `placeholder:"NPUB" help:"Who wrote it (npub or hex), if the code does not say."`
	Relay   []string      `placeholder:"URL" help:"Relays that may have it, besides those that the code names."`
	Thread  bool          `help:"Fetch what it refers to, too: its ancestors up to the root, and what they quote."`
	JSON    bool          `help:"Print one JSON object with where it was found, instead of the bare events."`
	Timeout time.Duration `default:"10s" help:"When to give up; at most 30s with --nats."`

	NATS string `name:"nats" env:"RELAYMESH_NATS" placeholder:"URL" help:"Have the fetchers of a running pipeline look for it."`
	config.NATSAuth

	DHTKey       string   `name:"dht-key" group:"Without a pipeline" placeholder:"HEX" help:"The author's DHT key, under which their relay list is looked up."`
	ThreadDepth  int      `default:"20" group:"Without a pipeline" help:"How many references away a thread may reach."`
	ThreadCount  int      `default:"100" group:"Without a pipeline" help:"How many events a thread may have."`
	AllowPrivate bool     `env:"RELAYMESH_ALLOW_PRIVATE" group:"Without a pipeline" help:"Talk to addresses on loopback and private networks, too."`
	Deny         []string `env:"RELAYMESH_DENY" group:"Without a pipeline" placeholder:"FILE" help:"Files of what is denied: it is not asked for, and denied hosts are not asked. See relaymesh deny."`
	NsecFile     string   `env:"RELAYMESH_NSEC_FILE" group:"Without a pipeline" placeholder:"FILE" help:"File with the Nostr secret key (nsec or hex) that answers relays which ask who we are (NIP-42)."`

	DHT config.DHT `embed:"" prefix:"dht-" group:"DHT"`
}

// Help is the long help text.
func (*fetchCmd) Help() string {
	return "With --nats, the fetchers look wherever the pipeline knows of, and write what they find to its relay. Without, the " +
		"relays of the code and of --relay are asked, and those of the author's list on the DHT if --dht-key is given; what is " +
		"found is only printed. Events are printed one a line, the note first, each verified.\n\n" +
		"Exit codes: 0 found, 1 not found or failed, 2 usage, 3 found, but not all of its thread, 130 interrupted."
}

// Run prints the note.
func (c *fetchCmd) Run(ctx context.Context, o *output) error {
	request, err := c.request(o)
	if err != nil {
		return err
	}
	response, err := c.fetch(ctx, request, o)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := o.json(response); err != nil {
			return err
		}
	}
	missing := 0
	for i, r := range append([]events.MissingNoteResponse{response}, response.Thread...) {
		switch {
		case !r.Found && i == 0:
			return fmt.Errorf("not found: %s%s%s", printable(r.Why), c.wayIn(r.Why), c.otherwise())
		case !r.Found || r.Event == nil:
			missing++
			fmt.Fprintf(o.err, "%s%s: %s\n", r.EventID, printable(r.Address), printable(r.Why))
		case !c.JSON:
			fmt.Fprintf(o.err, "%s: found at %s\n", r.Event.ID, printable(r.RelayURL))
			if err := o.json(r.Event); err != nil {
				return err
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("%w: %d of %d events are missing", errPartly, missing, 1+len(response.Thread))
	}
	return nil
}

// wayIn says what to do about a relay that asks who we are.
func (c *fetchCmd) wayIn(why string) string {
	if c.NATS != "" || c.NsecFile != "" || !strings.Contains(why, string(reconcile.PrefixAuthRequired)) {
		return ""
	}
	return "; " + giveKey
}

// otherwise says of 64 hex digits what they are taken for, and what else may be meant.
func (c *fetchCmd) otherwise() string {
	key, err := schnorr.ParsePublicKey(c.What)
	if err != nil || schnorr.CodePrefix(c.What) != "" {
		return ""
	}
	return fmt.Sprintf("; 64 hex digits are taken for the id of an event: if they are the key of a person, 0:%s: is their profile", key)
}

// request is what is asked for.
func (c *fetchCmd) request(o *output) (events.MissingNoteRequest, error) {
	n, err := schnorr.ParseNote(c.What)
	if prefix := schnorr.CodePrefix(c.What); err != nil && (prefix == "nsec" || prefix == "ncryptsec") {
		return events.MissingNoteRequest{}, usage("%v", err)
	} else if err != nil {
		return events.MissingNoteRequest{}, usage("%q: %v", c.What, err)
	}
	if c.Author != "" {
		if n.AuthorPubkey, err = schnorr.ParsePublicKey(c.Author); err != nil {
			return events.MissingNoteRequest{}, usage("--author: %v", err)
		}
	}
	if c.DHTKey != "" {
		if n.DHTKey, err = parseDHTKey(c.DHTKey); err != nil {
			return events.MissingNoteRequest{}, usage("--dht-key: %v", err)
		}
	}
	relays, passedOver, err := c.relays(n.Relays)
	if err != nil {
		return events.MissingNoteRequest{}, err
	}
	n.Relays = relays
	if _, err := n.Validate(true); err != nil {
		return events.MissingNoteRequest{}, usage("%v", err)
	}
	if c.NATS == "" && len(n.Relays) == 0 && n.DHTKey == "" {
		passedOver = append(passedOver, "where shall the note be looked for? Give --relay, --dht-key, or --nats to ask a running pipeline")
		return events.MissingNoteRequest{}, usage("%s", strings.Join(passedOver, "; "))
	}
	for _, why := range passedOver {
		fmt.Fprintln(o.err, why)
	}
	return events.MissingNoteRequest{NoteMissing: n, TimeoutMS: c.Timeout.Milliseconds(), Thread: c.Thread}, nil
}

// relays returns those of --relay and, of those that the code names, the ones that
// can be dialled; of each other one it says why it is passed over and what to do.
func (c *fetchCmd) relays(hinted []string) (urls, passedOver []string, err error) {
	allow := c.AllowPrivate || c.NATS != "" // fetchers have rules of their own
	for _, raw := range c.Relay {
		url, err := config.RelayURL(raw, allow)
		if err != nil {
			return nil, nil, usage("--relay: %v", err)
		}
		urls = append(urls, url)
	}
	for _, raw := range hinted {
		url, err := nostr.NormalizeRelayURL(raw, allow)
		if err == nil {
			urls = append(urls, url)
			continue
		}
		do := "give the right one by --relay"
		if _, err := nostr.NormalizeRelayURL(raw, true); err == nil {
			do = "--allow-private permits it"
		}
		passedOver = append(passedOver, fmt.Sprintf("a relay that the code names is not asked: %s (%s)", printable(err.Error()), do))
	}
	if more := len(urls) - nostr.MaxListRelays; more > 0 {
		urls = urls[:nostr.MaxListRelays]
		passedOver = append(passedOver, fmt.Sprintf("%d more relays are not asked: name them by --relay in another run", more))
	}
	return urls, passedOver, nil
}

func (c *fetchCmd) fetch(ctx context.Context, r events.MissingNoteRequest, o *output) (events.MissingNoteResponse, error) {
	log := obs.NewLogger(o.err, "error")
	if c.NATS == "" {
		ctx, cancel := context.WithTimeout(ctx, c.Timeout)
		defer cancel()
		return run.FetchOnce(ctx, config.Config{
			AllowPrivate: c.AllowPrivate, NsecFile: c.NsecFile, Deny: c.Deny, DHT: c.DHT,
			Fetch: config.Fetch{ThreadDepth: c.ThreadDepth, ThreadCount: c.ThreadCount},
		}, r, log)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout+connectWait) // the fetcher keeps to the timeout itself
	defer cancel()
	js, err := run.Dial(ctx, c.NATS, c.NATSAuth, cliName, log)
	if err != nil {
		return events.MissingNoteResponse{}, err
	}
	defer js.Conn().Close()
	return run.Request[events.MissingNoteResponse](ctx, js, events.ServiceNoteFetch, r)
}
