package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

type resolveCmd struct {
	Who          string        `arg:"" name:"npub-or-dht-key" help:"An npub or nprofile, or the 64 hex digits of a DHT key (not of a Nostr key)."`
	NATS         string        `name:"nats" env:"RELAYMESH_NATS" placeholder:"URL" help:"Ask the dhtworkers of a running pipeline instead of the DHT."`
	Relay        string        `env:"RELAYMESH_RELAY" placeholder:"URL" help:"Relay where the DHT key of an npub is looked up (kind 11011)."`
	AllowPrivate bool          `env:"RELAYMESH_ALLOW_PRIVATE" help:"Talk to addresses on loopback and private networks, too."`
	Timeout      time.Duration `default:"30s" help:"When to give up."`
	JSON         bool          `help:"Print JSON, one object a line; the last one is the answer."`

	config.NATSAuth

	Index config.Index `embed:"" prefix:"index-" group:"List indexes"`
	DHT   config.DHT   `embed:"" prefix:"dht-" group:"DHT"`
}

// Help says when what is printed.
func (resolveCmd) Help() string {
	return `Prints the first list that a DHT node gives and that its owner signed, as soon as it is there, and goes on until the eight nodes
nearest to it have answered. If one of them has a newer list, that one is printed as a correction. With --json, early answers are
lines with "early": true. A running pipeline (--nats) gives the final answer only.

An npub does not tell the DHT key of its list, and most users have none. Then a few list indexes are asked, which are found on the DHT (and
named by --index-known): the newest list (kind 10002) that they have counts. Nothing of this needs a relay or a running pipeline.`
}

// Run prints the relays of the list, one a line.
func (c *resolveCmd) Run(ctx context.Context, o *output) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := c.request()
	if err != nil {
		return err
	}
	p := &answers{output: o, json: c.JSON}
	answer, err := c.resolve(ctx, request, o, p.early)
	if err != nil {
		return err
	}
	if err := p.final(answer); err != nil {
		return fmt.Errorf("%w%s", err, notTheOther(request.DHTKey))
	}
	return nil
}

// request is what is asked for.
func (c *resolveCmd) request() (r events.ResolveRequest, err error) {
	r.TimeoutMS = c.Timeout.Milliseconds()
	if c.Relay != "" {
		if c.Relay, err = nostr.NormalizeRelayURL(c.Relay, true); err != nil {
			return r, usage("--relay: %v", err)
		}
	}
	switch prefix := schnorr.CodePrefix(c.Who); prefix {
	case "":
		if r.DHTKey, err = parseDHTKey(c.Who); err != nil {
			return r, usage("%q is neither an npub nor the 64 hex digits of a DHT key: it has %d characters", c.Who, len(c.Who))
		}
	default:
		if r.PubKey, err = schnorr.ParsePublicKey(c.Who); err != nil {
			return r, usage("npub: %v", err)
		}
	}
	return r, nil
}

// answers prints a list, and corrects it when a newer one is found.
type answers struct {
	*output
	json    bool
	printed bool
	seq     int64 // of the list printed
}

// resolved is what the command prints; its fields are stable.
type resolved struct {
	events.ResolveResponse

	Early bool `json:"early,omitempty"` // a later line may correct it
}

// early takes an answer while the look-up goes on. What cannot be printed is
// told by final.
func (p *answers) early(answer events.ResolveResponse) {
	if p.json {
		_ = json.NewEncoder(p.out).Encode(resolved{answer, true})
		return
	}
	p.list(answer)
}

func (p *answers) final(answer events.ResolveResponse) error {
	if p.json {
		if err := json.NewEncoder(p.out).Encode(resolved{answer, false}); err != nil {
			return err
		}
	}
	for _, url := range answer.Seen {
		fmt.Fprintf(p.err, "seen at %s, which no list names\n", printable(url))
	}
	if !answer.Found {
		return fmt.Errorf("not found: %s", printable(answer.Why))
	}
	if !p.json {
		p.list(answer)
		if answer.Event != nil {
			fmt.Fprintf(p.err, "of %s, from %d list indexes\n", time.Unix(answer.Event.CreatedAt, 0).UTC().Format(time.RFC3339), len(answer.Indexes))
			return nil
		}
		fmt.Fprintf(p.err, "seq %d, held by %d nodes\n", answer.Seq, answer.Holders)
	}
	return nil
}

// list prints a list unless it is the one that stands there.
func (p *answers) list(answer events.ResolveResponse) {
	if p.printed && answer.Seq == p.seq {
		return
	}
	if p.printed {
		fmt.Fprintf(p.err, "correction: seq %d takes the place of seq %d\n", answer.Seq, p.seq)
	}
	p.printed, p.seq = true, answer.Seq
	for _, url := range answer.Relays {
		fmt.Fprintln(p.out, printable(url))
	}
}

func (c *resolveCmd) resolve(ctx context.Context, r events.ResolveRequest, o *output,
	early func(events.ResolveResponse),
) (events.ResolveResponse, error) {
	log := obs.NewLogger(o.err, "error")
	if c.NATS != "" {
		js, err := run.Dial(ctx, c.NATS, c.NATSAuth, cliName, log)
		if err != nil {
			return events.ResolveResponse{}, err
		}
		defer js.Conn().Close()
		return run.Request[events.ResolveResponse](ctx, js, events.ServiceListResolve, r)
	}
	if err := c.Index.Check(); err != nil {
		return events.ResolveResponse{}, usage("%v", err)
	}
	if data := (&upFlags{}); c.Index.KnownFile == "" && data.findData() == nil {
		c.Index.KnownFile = filepath.Join(data.Data, "index", "known.json")
	}
	if r.DHTKey == "" && c.Relay != "" {
		key, err := keyFromRelay(ctx, c.Relay, r.PubKey)
		if err != nil && !errors.Is(err, errNoKey) {
			return events.ResolveResponse{}, err
		}
		r.DHTKey = key
	}
	return run.ResolveOnce(ctx, config.Config{AllowPrivate: c.AllowPrivate, DHT: c.DHT, Index: c.Index}, r, log, early)
}

var errNoKey = errors.New("has no list for the DHT (kind 11011) of that author")

// keyFromRelay reads the author's newest kind 11011; [errNoKey] if there is none.
func keyFromRelay(ctx context.Context, url, pubkey string) (string, error) {
	conn, err := relay.Dial(ctx, url, relay.Options{AllowPrivate: true})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	for e, err := range conn.Query(ctx, nostr.Filter{Authors: []string{pubkey}, Kinds: []int{nostr.KindDHTList}, Limit: 1}) {
		if err != nil {
			return "", err
		}
		if key := e.Tag("dht_pubkey").At(1); nostr.IsHex(key, 32) {
			return key, nil
		}
	}
	return "", fmt.Errorf("not found: %s %w", url, errNoKey)
}

type publishCmd struct {
	Relays   []string `required:"" placeholder:"URL,…" help:"The relays of the list, most important first."`
	NsecFile string   `required:"" placeholder:"FILE" help:"File with the secret key of the user (nsec or hex)."`
	Relay    string   `env:"RELAYMESH_RELAY" placeholder:"URL" help:"Send the list to that relay, from where a pipeline takes it."`
	NATS     string   `name:"nats" env:"RELAYMESH_NATS" placeholder:"URL" help:"Hand the list to that pipeline."`
	JSON     bool     `help:"Print one JSON object."`

	AllowPrivate bool `env:"RELAYMESH_ALLOW_PRIVATE" help:"Let the list name relays on loopback and private networks."`

	config.NATSAuth
}

// published is what the command prints; its fields are stable.
type published struct {
	Npub   string   `json:"npub"`
	DHTKey string   `json:"dht_key"`
	Target string   `json:"target"`
	Seq    int64    `json:"seq"`
	Relays []string `json:"relays"`
	Events []string `json:"events"` // ids of kind 11011 and 10002
}

// Run signs the list, as kind 11011 and 10002, above what stands where it is sent, and
// sends both.
func (c *publishCmd) Run(ctx context.Context, o *output) (err error) {
	if c.Relay == "" && c.NATS == "" {
		return usage("give --relay, --nats or both: where shall the list be sent?")
	}
	if c.Relay != "" {
		url, err := nostr.NormalizeRelayURL(c.Relay, true)
		if err != nil {
			return usage("--relay: %v", err)
		}
		c.Relay = url
	}
	for i, raw := range c.Relays {
		url, err := config.RelayURL(raw, c.AllowPrivate)
		if err != nil {
			return usage("--relays: %v", err)
		}
		c.Relays[i] = url
	}
	key, err := schnorr.ReadSecretFile(c.NsecFile)
	if err != nil {
		return usage("--nsec-file: %v", err)
	}
	if _, err := run.SignList(key, c.Relays, 0); err != nil {
		return usage("--relays: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*connectWait)
	defer cancel()
	to, err := c.open(ctx, o)
	if err != nil {
		return err
	}
	defer to.close(&err)
	list, err := to.sign(ctx, key, c.Relays, o)
	if err != nil {
		return err
	}
	npub, err := schnorr.EncodeNpub(key.PublicKey())
	if err != nil {
		return err
	}
	if err := to.send(ctx, list.DHT, list.NIP65); err != nil {
		return err
	}
	target := list.Item.Target()
	p := published{
		Npub: npub, DHTKey: hex.EncodeToString(list.Item.Key[:]), Target: hex.EncodeToString(target[:]),
		Seq: list.Item.Seq, Relays: c.Relays, Events: []string{list.DHT.ID, list.NIP65.ID},
	}
	if c.JSON {
		return o.json(p)
	}
	_, err = fmt.Fprintf(o.out, "%s\ndht key %s\ntarget  %s\nseq     %d\n", p.Npub, p.DHTKey, p.Target, p.Seq)
	return err
}

// receivers are where a list is sent; each may be nil.
type receivers struct {
	relay *relay.Conn
	url   string // of relay
	js    jetstream.JetStream
}

func (c *publishCmd) open(ctx context.Context, o *output) (to receivers, err error) {
	if c.Relay != "" {
		to.url = c.Relay
		if to.relay, err = relay.Dial(ctx, c.Relay, relay.Options{AllowPrivate: true}); err != nil {
			return to, err
		}
	}
	if c.NATS != "" {
		if to.js, err = (remote{c.NATS, c.NATSAuth}).connect(ctx, o); err != nil && to.relay != nil {
			to.relay.Close()
		}
	}
	return to, err
}

func (to receivers) close(err *error) {
	if to.js != nil {
		disconnect(to.js, err)
	}
	if to.relay != nil {
		to.relay.Close()
	}
}

// sign signs a list above those that stand.
func (to receivers) sign(ctx context.Context, key *schnorr.SecretKey, relays []string, o *output) (list run.SignedList, err error) {
	now := time.Now().Unix()
	if list, err = run.SignList(key, relays, now); err != nil {
		return list, err
	}
	var standing int64
	if to.relay != nil {
		if standing, err = onRelay(ctx, to.relay, key.PublicKey()); err != nil {
			return list, err
		}
	}
	if to.js != nil {
		target := list.Item.Target()
		known, err := inPipeline(ctx, to.js, key.PublicKey(), hex.EncodeToString(target[:]), obs.NewLogger(o.err, "error"))
		switch denied := to.js.Conn().LastError(); {
		case err == nil:
			standing = max(standing, known)
		case errors.Is(denied, nats.ErrPermissionViolation): // one who may only feed the pipeline
			fmt.Fprintln(o.err, "this NATS user may not see which list stands in the pipeline: "+
				"this one has no effect if that is of the same second or newer")
		default:
			return list, fmt.Errorf("couldn't read the list that stands in the pipeline: %w", err)
		}
	}
	version, err := versionAbove(standing, now)
	if err != nil || version == now {
		return list, err
	}
	return run.SignList(key, relays, version)
}

func (to receivers) send(ctx context.Context, list ...nostr.Event) error {
	for _, e := range list {
		if to.relay != nil {
			if err := reconcile.Write(ctx, to.relay, e); err != nil {
				return fmt.Errorf("couldn't send kind %d to %s: %w", e.Kind, to.url, err)
			}
		}
		if to.js != nil {
			msg := nats.NewMsg(events.SubjectEventReceived)
			msg.Data = nostr.Encode(e)
			if _, err := to.js.PublishMsg(ctx, msg); err != nil {
				return fmt.Errorf("couldn't hand kind %d to the pipeline: %w", e.Kind, err)
			}
		}
	}
	return nil
}
