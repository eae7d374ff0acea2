package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/run"
)

type indexCmd struct {
	File           kong.ConfigFlag `name:"config" env:"RELAYMESH_CONFIG" placeholder:"FILE" help:"YAML file whose keys are these flags."`
	Listen         string          `env:"RELAYMESH_INDEX" default:"0.0.0.0:4848" placeholder:"HOST:PORT" help:"Where the index listens."`
	Data           string          `env:"RELAYMESH_DATA" placeholder:"DIR" help:"Where everything is kept; ~/.local/share/relaymesh by default."`
	TrustedProxies []string        `env:"RELAYMESH_TRUSTED_PROXIES" placeholder:"ADDRESS" help:"Addresses or networks (10.0.0.0/8) of proxies before the index. Only they are believed which address a client has (X-Forwarded-For)."`
	AllowPrivate   bool            `env:"RELAYMESH_ALLOW_PRIVATE" help:"Talk to indexes and DHT nodes on loopback and private addresses, too."`
	Deny           []string        `env:"RELAYMESH_DENY" placeholder:"FILE" help:"Files of what is denied, read again when they change; see relaymesh deny."`
	Admin          string          `env:"RELAYMESH_ADMIN" placeholder:"HOST:PORT" group:"Operation" help:"Serve /metrics, /livez and /readyz there."`
	AdminHosts     []string        `env:"RELAYMESH_ADMIN_HOSTS" placeholder:"NAME" group:"Operation" help:"Names by which --admin may be asked, for instance by Prometheus; localhost and IP addresses always may."`
	LogLevel       string          `env:"RELAYMESH_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"Least level that is logged: debug, info, warn or error."`

	config.ServeIndex

	Index config.Index `embed:"" prefix:"index-" group:"List indexes"`
	DHT   config.DHT   `embed:"" prefix:"dht-" group:"DHT"`
}

// Help is the long help text.
func (indexCmd) Help() string {
	return `A list index is a relay that keeps the relay lists (kind 10002), lists of relays for direct messages (10050) and profiles (0) of
everybody, and nothing else. It takes them over from other indexes, which it finds on the DHT, and looks up there what it is asked for and
lacks; so a client that names one index as its indexer relay gets the lists of the whole network. GET /list/<npub> gives a list as JSON.

Others find it if it announces itself (--announce). It needs no NATS; relaymesh up serves one with --index.`
}

// Run serves until a signal.
func (c *indexCmd) Run(ctx context.Context, o *output) error {
	conf := config.Config{
		AllowPrivate: c.AllowPrivate, Deny: c.Deny, Index: c.Index, DHT: c.DHT, Admin: c.Admin, AdminHosts: c.AdminHosts,
	}
	up := upFlags{Data: c.Data}
	if err := up.findData(); err != nil {
		return err
	}
	index, err := listIndex(c.ServeIndex, "--", c.Listen, c.TrustedProxies, up.Data, conf, obs.NewLogger(o.err, c.LogLevel))
	if err != nil {
		return err
	}
	index.Flag = "--listen"
	run.KeepRunning()
	return stopped(ctx, index.Run(ctx, func(url string) {
		run.Notify(ctx)
		fmt.Fprintf(o.err, "the list index is up at %s, data %s\n", url, up.Data)
	}))
}

// listIndex is the index of these flags, whose names begin with prefix, with its files in the data directory.
func listIndex(
	serve config.ServeIndex, prefix, listen string, proxies []string, data string, conf config.Config, log *slog.Logger,
) (l run.ListIndex, err error) {
	if err := serve.Check(prefix, conf.AllowPrivate); err != nil {
		return l, usage("%v", err)
	}
	if err := conf.Index.Check(); err != nil {
		return l, usage("%v", err)
	}
	l = run.ListIndex{ServeIndex: serve, Listen: listen, Config: conf, Log: log, File: filepath.Join(data, "index", "lists.db")}
	if l.Proxies, err = clientaddr.Parse(proxies); err != nil {
		return l, usage("--trusted-proxies: %v", err)
	}
	for file, name := range map[*string]string{
		&l.KeyFile: "key", &l.Config.Index.KnownFile: "known-by-index.json", &l.Config.DHT.NodesFile: "nodes",
	} {
		if *file == "" {
			*file = filepath.Join(data, "index", name)
		}
	}
	return l, nil
}
