// Package config is the one configuration of relaymesh: a struct whose fields
// are at once the flags, the environment variables, the keys of the config
// file and the manual. A flag beats the environment, which beats the file,
// which beats the default.
package config

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Config is what the stages need. The four workers and relaymesh up share it.
type Config struct {
	NATS string `name:"nats" env:"RELAYMESH_NATS" placeholder:"URL" help:"NATS server (nats://host:4222 or tls://…), with JetStream on."`
	NATSAuth
	// File is the config file that was read, "" if none was.
	File string `kong:"-"`
	// RelayToken opens the relay of Relay whole, "" if it has none: the embedded relay's.
	RelayToken   string   `kong:"-"`
	Relay        string   `env:"RELAYMESH_RELAY" placeholder:"URL" help:"The relay to stand beside (ws:// or wss://): it is read, and what it lacks is written to it."`
	PublicURLs   []string `name:"public-url" env:"RELAYMESH_PUBLIC_URL" placeholder:"URL" help:"URLs by which clients reach the relay of --relay, through a gateway or a proxy: where lists name them, it is the relay itself that is meant, and they are not dialled."`
	Tail         []string `env:"RELAYMESH_TAIL" placeholder:"URL" help:"More relays whose new events are taken in."`
	AllowPrivate bool     `env:"RELAYMESH_ALLOW_PRIVATE" help:"Talk to relays and DHT nodes on loopback and private addresses, too. The relay of --relay may always be one."`
	Only         []string `env:"RELAYMESH_ONLY" placeholder:"URL" help:"Talk to no relays but these and the one of --relay."`
	Deny         []string `env:"RELAYMESH_DENY" placeholder:"FILE" help:"Files of what is denied, read again when they change: a line each for a key, an event id, a kind, a host or a word; see relaymesh deny."`
	DAGDir       string   `name:"dag-dir" env:"RELAYMESH_DAG_DIR" placeholder:"DIR" help:"Where the fetcher writes the Scionic DAGs that events name; empty for nowhere. Only in binaries built with -tags scionic."`
	NsecFile     string   `env:"RELAYMESH_NSEC_FILE" placeholder:"FILE" help:"File with the Nostr secret key (nsec or hex) that answers relays which ask who we are (NIP-42)."`

	DHT   DHT     `embed:"" prefix:"dht-" group:"DHT"`
	Index Index   `embed:"" prefix:"index-" group:"List indexes"`
	Sync  Syncing `embed:"" group:"What is synced"`
	Fetch Fetch   `embed:"" prefix:"fetch-" group:"Missing notes"`
	P2P   P2P     `embed:"" prefix:"p2p-" group:"libp2p"`

	Policy

	RefreshEvery time.Duration `env:"RELAYMESH_REFRESH_EVERY" default:"6h" group:"Timing" help:"How often each record is refreshed on the DHT where the nodes near it are found to keep what they hold; where they forget it, every hour. 1h is strict: nodes that hold a record are sent it again every time. Also 10s, 15m, or another divisor of a minute, an hour or a day."`
	ResolveEvery time.Duration `env:"RELAYMESH_RESOLVE_EVERY" default:"6h" group:"Timing" help:"How often an author's relay list is looked up; a divisor like above."`
	SyncEvery    time.Duration `env:"RELAYMESH_SYNC_EVERY" default:"15m" group:"Timing" help:"How often a relay is synced; a divisor like above."`
	Drain        time.Duration `env:"RELAYMESH_DRAIN" default:"20s" group:"Timing" help:"How long a stopping worker may finish what it has begun."`

	Admin      string   `env:"RELAYMESH_ADMIN" placeholder:"HOST:PORT" group:"Operation" help:"Serve /metrics, /livez and /readyz there."`
	AdminHosts []string `env:"RELAYMESH_ADMIN_HOSTS" placeholder:"NAME" group:"Operation" help:"Names by which --admin may be asked, for instance by Prometheus; localhost and IP addresses always may."`
	LogLevel   string   `env:"RELAYMESH_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" group:"Operation" help:"Least level that is logged: debug, info, warn or error."`
}

// NATSAuth is how NATS is told who we are, and how we know who it is.
type NATSAuth struct {
	NATSCreds string `name:"nats-creds" env:"RELAYMESH_NATS_CREDS" placeholder:"FILE" help:"File with the NATS credentials: an nkey seed, or a .creds file."`
	NATSCA    string `name:"nats-ca" env:"RELAYMESH_NATS_CA" placeholder:"FILE" help:"File with the certificates (PEM) that NATS servers must be signed by, instead of the system's. Implies TLS."`
	NATSCert  string `name:"nats-cert" env:"RELAYMESH_NATS_CERT" placeholder:"FILE" help:"File with the certificate (PEM) that we show to NATS servers which ask for one (mutual TLS)."`
	NATSKey   string `name:"nats-key" env:"RELAYMESH_NATS_KEY" placeholder:"FILE" help:"File with the key (PEM) of --nats-cert."`
	// NATSDomain is empty for the JetStream that the connected server has itself.
	NATSDomain string          `name:"nats-domain" env:"RELAYMESH_NATS_DOMAIN" placeholder:"NAME" help:"The JetStream domain that the pipeline is in, where NATS is reached by a leaf node in front of it."`
	NATSPrefix contract.Prefix `name:"nats-prefix" env:"RELAYMESH_NATS_PREFIX" placeholder:"NAME" help:"What the names of streams, buckets and subjects begin with, where several pipelines share one NATS account: alice for alice_INTAKE, alice_authors and alice.event.received. The same for all processes and commands of a pipeline."`
}

// Policy is whose events ingest cares for, and what they may lead to.
type Policy struct {
	Authors          []string `env:"RELAYMESH_AUTHORS" placeholder:"NPUB" group:"Policy" help:"Care for these authors (npub or hex). Without this and --follows: for everyone."`
	Follows          []string `env:"RELAYMESH_FOLLOWS" placeholder:"NPUB" group:"Policy" help:"Care for these authors and for whom they follow, by the lists (kind 3) at the relay."`
	FollowDepth      int      `env:"RELAYMESH_FOLLOW_DEPTH" default:"1" group:"Policy" help:"How far --follows goes: 1 is whom they follow, 2 also whom those follow, and so on."`
	MissingKinds     []int    `env:"RELAYMESH_MISSING_KINDS" placeholder:"KIND" group:"Policy" help:"Look for what events of these kinds refer to; by default 1, 6, 16, 20, 21, 22, 1111, 1808, 9802 and 30023, the only ones that refer to anything."`
	MissingPerMinute int      `env:"RELAYMESH_MISSING_PER_MINUTE" default:"120" group:"Policy" help:"How many missing notes the events of one author may lead to in a minute; 0 is unbounded."`
}

// checkPolicy says what is wrong, and puts hex in the place of codes.
func (p Policy) checkPolicy() (errs []error) {
	for flag, list := range map[string][]string{"--authors": p.Authors, "--follows": p.Follows} {
		for i, text := range list {
			key, err := schnorr.ReadKey(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", flag, err))
			}
			list[i] = key
		}
	}
	errs = append(errs, checkKinds("--missing-kinds", p.MissingKinds))
	if p.FollowDepth < 1 || p.FollowDepth > 5 {
		errs = append(errs, fmt.Errorf("--follow-depth: %d is not in 1..5", p.FollowDepth))
	}
	if p.MissingPerMinute < 0 {
		errs = append(errs, fmt.Errorf("--missing-per-minute: %d is negative", p.MissingPerMinute))
	}
	return errs
}

func checkKinds(flag string, kinds []int) error {
	for _, kind := range kinds {
		if err := nostr.CheckKind(kind); err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
	}
	return nil
}

// DHT is the DHT node of dhtworkers.
type DHT struct {
	Listen    string   `env:"RELAYMESH_DHT_LISTEN" default:"0.0.0.0:0" placeholder:"HOST:PORT" help:"UDP address of the node, IPv4."`
	Bootstrap []string `env:"RELAYMESH_DHT_BOOTSTRAP" placeholder:"HOST:PORT" help:"Nodes to start from." default:"router.bittorrent.com:6881,dht.transmissionbt.com:6881,dht.libtorrent.org:25401,relay.pkarr.org:6881"`
	Serve     bool     `env:"RELAYMESH_DHT_SERVE" help:"Answer queries of other nodes, too, instead of being read-only (BEP 43)."`
	NodesFile string   `env:"RELAYMESH_DHT_NODES_FILE" placeholder:"FILE" help:"Where the node keeps its id and the nodes it knows."`
	Rate      float64  `env:"RELAYMESH_DHT_RATE" default:"250" help:"Packets a second that are sent at most; negative is unlimited."`
	PerNode   float64  `env:"RELAYMESH_DHT_PER_NODE" default:"3" help:"Packets a second to one node at most; negative is unlimited. Many nodes ban who sends more than 5."`
}

// RelayURL is [nostr.NormalizeRelayURL] for what the operator names. The error says
// so if --allow-private permits it.
func RelayURL(raw string, allowPrivate bool) (string, error) {
	url, err := nostr.NormalizeRelayURL(raw, allowPrivate)
	if err == nil || allowPrivate {
		return url, err
	}
	if _, other := nostr.NormalizeRelayURL(raw, true); other == nil {
		err = fmt.Errorf("%w (--allow-private permits it)", err)
	}
	return "", err
}

// normalize puts normalised URLs in the place of those of a flag.
func normalize(flag string, urls []string, allowPrivate bool) error {
	var errs []error
	for i, raw := range urls {
		url, err := RelayURL(raw, allowPrivate)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", flag, err))
		}
		urls[i] = url
	}
	return errors.Join(errs...)
}

// Fetch is how fetchers look for notes.
type Fetch struct {
	LostFor     time.Duration `env:"RELAYMESH_FETCH_LOST_FOR" default:"1h" help:"How long a note that nobody has is not looked for again, unless at relays that were not asked; at most 24h."`
	ThreadDepth int           `env:"RELAYMESH_FETCH_THREAD_DEPTH" default:"20" help:"How many references away from a note its thread may reach, for those who ask for threads."`
	ThreadCount int           `env:"RELAYMESH_FETCH_THREAD_COUNT" default:"100" help:"How many events a thread may have, the note itself not counted."`
}

// P2P is the libp2p node of syncworkers, by which HORNETS relays sync.
type P2P struct {
	Listen  string `env:"RELAYMESH_P2P_LISTEN" placeholder:"ADDR:PORT" help:"Answer libp2p peers that want to sync with the relay of --relay there, by QUIC (UDP) and by TCP; 0.0.0.0:9001 or [::]:9001. Nowhere by default."`
	KeyFile string `env:"RELAYMESH_P2P_KEY_FILE" placeholder:"FILE" help:"File with the secret key (hex or nsec) that peers know us by; it is made if it is missing. Without one the key is new with every start."`
}

// Validate normalises the URLs and says which field is wrong and what to do.
// kong calls it after parsing.
func (c *Config) Validate() error {
	var errs []error
	if c.Relay != "" {
		url, err := nostr.NormalizeRelayURL(c.Relay, true)
		if err != nil {
			errs = append(errs, fmt.Errorf("--relay: %w", err))
		}
		c.Relay = url
	}
	for name, list := range map[string][]string{
		"--tail": c.Tail, "--only": c.Only, "--public-url": c.PublicURLs, "--survey-seeds": c.Sync.Seeds,
	} {
		errs = append(errs, normalize(name, list, c.AllowPrivate))
	}
	errs = append(errs, c.Index.Check())
	for name, every := range map[string]time.Duration{
		"--refresh-every": c.RefreshEvery, "--resolve-every": c.ResolveEvery, "--sync-every": c.SyncEvery,
	} {
		if _, err := contract.Cron("", every); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if c.Fetch.LostFor < 0 || c.Fetch.LostFor > contract.MaxLostFor {
		errs = append(errs, fmt.Errorf("--fetch-lost-for: must be between 0s and %s", contract.MaxLostFor))
	}
	if c.Fetch.ThreadDepth < 0 || c.Fetch.ThreadCount < 0 {
		errs = append(errs, errors.New("--fetch-thread-depth, --fetch-thread-count: must not be negative"))
	}
	errs = append(errs, c.checkPolicy()...)
	errs = append(errs, c.NATSAuth.Validate(), namesFile("--nsec-file", c.NsecFile), namesFile("--p2p-key-file", c.P2P.KeyFile))
	errs = append(errs, c.Sync.validate())
	if c.P2P.Listen != "" {
		if _, err := netip.ParseAddrPort(c.P2P.Listen); err != nil {
			errs = append(errs, fmt.Errorf("--p2p-listen: %q: want an address and a port, as in 0.0.0.0:9001 or [::]:9001", c.P2P.Listen))
		}
	}
	if c.Drain <= 0 {
		errs = append(errs, errors.New("--drain: must be longer than 0"))
	}
	return errors.Join(errs...)
}
