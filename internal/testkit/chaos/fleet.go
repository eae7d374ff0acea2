package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/testkit/process"
)

const (
	natsNodes = 3
	dhtNodes  = 100
	farRelays = 3 // the last is one of relaymesh's, which delivers live
	copies    = 2 // of each worker
	replicas  = "3"

	diskNATS  = "256m"
	diskRelay = "64m"
)

// The groups of parts, by what a fault to one of them means.
const (
	groupNATS   = "nats"
	groupWorker = "worker"
	groupHome   = "home relay"
	groupFar    = "far relay"
	groupDHT    = "dht"
)

// fleet is all that runs, and how this program talks to it.
type fleet struct {
	options *options
	dir     string
	self    string
	network *network
	parts   map[string][]*part // by group

	homeURL string
	farURLs []string
	natsURL string

	pool   *relay.Pool
	nc     *nats.Conn // of the account of the pipeline
	system *nats.Conn
	js     jetstream.JetStream
}

// newFleet starts everything and returns when it is provisioned. The caller
// closes it, also after an error.
func newFleet(ctx context.Context, o *options, dir string) (*fleet, error) {
	f := &fleet{options: o, dir: dir, parts: map[string][]*part{}}
	var err error
	if f.self, err = os.Executable(); err != nil {
		return f, err
	}
	if f.network, err = newNetwork(ctx, o.Inside); err != nil {
		return f, err
	}
	for _, start := range []func(context.Context) error{f.startNATS, f.startRelays, f.startDHT} {
		if err := start(ctx); err != nil { // with the context that the processes live in
			return f, err
		}
	}
	within, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := f.connect(within); err != nil {
		return f, err
	}
	if err := f.provision(within); err != nil {
		return f, err
	}
	return f, f.startWorkers(ctx)
}

func (f *fleet) startNATS(ctx context.Context) error {
	var peers, urls []string
	var hosts []*host
	for i := range natsNodes {
		h, err := f.network.add(ctx, "nats"+strconv.Itoa(i+1))
		if err != nil {
			return err
		}
		hosts, peers = append(hosts, h), append(peers, h.ip)
		urls = append(urls, "nats://"+net.JoinHostPort(h.ip, portNATS))
	}
	f.natsURL = strings.Join(urls, ",")
	for _, h := range hosts {
		dir := f.dataDir(h.name)
		if err := f.start(ctx, groupNATS, h.name, h, dir, diskNATS, f.self, "nats", "--name", h.name, "--ip", h.ip, "--dir", dir, "--peers",
			strings.Join(peers, ",")); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) startRelays(ctx context.Context) error {
	for i := range 1 + farRelays {
		group, name, khatru := groupFar, "far"+strconv.Itoa(i), i < farRelays
		if i == 0 {
			group, name, khatru = groupHome, "home", false
		}
		h, err := f.network.add(ctx, name)
		if err != nil {
			return err
		}
		addr := net.JoinHostPort(h.ip, portRelay)
		if i == 0 {
			f.homeURL = "ws://" + addr
		} else {
			f.farURLs = append(f.farURLs, "ws://"+addr)
		}
		dir := f.dataDir(name)
		if err := f.start(ctx, group, name, h, dir, diskRelay, f.self, "relay", "--khatru="+strconv.FormatBool(khatru), "--addr", addr, "--file",
			filepath.Join(dir, "events")); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) startDHT(ctx context.Context) error {
	h, err := f.network.add(ctx, "dht")
	if err != nil {
		return err
	}
	return f.start(ctx, groupDHT, "dht", h, "", "", f.self, "dht", "--first", net.JoinHostPort(h.ip, portDHT), "--nodes",
		strconv.Itoa(dhtNodes))
}

func (f *fleet) startWorkers(ctx context.Context) error {
	for i := range copies {
		h, err := f.network.add(ctx, "worker"+strconv.Itoa(i+1))
		if err != nil {
			return err
		}
		for _, stage := range contract.Stages() {
			args := []string{
				"--nats", f.natsURL, "--relay", f.homeURL, "--allow-private", "--only", strings.Join(f.farURLs, ","), "--sync-every", "10s",
				"--dht-listen", h.ip + ":0", "--dht-bootstrap", f.bootstrap(), "--dht-rate=-1", "--dht-per-node=-1",
			}
			if err := f.start(ctx, groupWorker, stage+strconv.Itoa(i+1), h, "", "", filepath.Join(f.options.Bin, stage), args...); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fleet) bootstrap() string {
	return net.JoinHostPort(f.parts[groupDHT][0].host.ip, portDHT)
}

func (f *fleet) dataDir(name string) string { return filepath.Join(f.dir, name) }

// start runs a program on a host, with a disk of that size if it has data.
func (f *fleet) start(ctx context.Context, group, name string, h *host, dir, size, program string, args ...string) error {
	p := &part{name: name, host: h, dir: dir}
	if dir != "" {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if h.isolated {
			if err := p.mount(size); err != nil {
				return err
			}
		}
	}
	logs := f.dir
	if f.options.Logs != "" {
		logs = f.options.Logs
	}
	var err error
	if p.log, err = os.Create(filepath.Join(logs, name+".log")); err != nil {
		return err
	}
	p.proc = process.Process{Log: p.log}
	p.proc.Program, p.proc.Args = h.command(program, args...)
	f.parts[group] = append(f.parts[group], p)
	return p.start(ctx)
}

// connect waits for what was started.
func (f *fleet) connect(ctx context.Context) error {
	quiet := slog.New(slog.DiscardHandler)
	impatient := []nats.Option{nats.PingInterval(2 * time.Second), nats.ReconnectWait(200 * time.Millisecond)}
	var err error
	if f.nc, err = bus.Dial(ctx, f.natsURL, "chaos", quiet, impatient...); err != nil {
		return err
	}
	if f.system, err = bus.Dial(ctx, f.natsURL, "chaos-system", quiet, append(impatient, nats.UserInfo("system", "system"))...); err != nil {
		return err
	}
	if f.js, err = jetstream.New(f.nc); err != nil {
		return err
	}
	f.pool = relay.NewPool(relay.Options{AllowPrivate: true, Local: true, Log: quiet})
	for _, url := range append([]string{f.homeURL}, f.farURLs...) {
		if err := until(ctx, func() error { _, err := f.pool.Conn(ctx, url); return err }); err != nil {
			return err
		}
	}
	var dial net.Dialer
	return until(ctx, func() error {
		c, err := dial.DialContext(ctx, "tcp", f.bootstrap())
		if err == nil {
			err = c.Close()
		}
		return err
	})
}

// newReader starts a DHT node of a stranger's, who has no memory of faults. The
// caller closes it.
func (f *fleet) newReader(ctx context.Context) (*mainline.Node, error) {
	return mainline.Start(ctx, mainline.Config{
		Addr: f.network.ip(1) + ":0", Bootstrap: []string{f.bootstrap()}, ReadOnly: true, AllowPrivate: true, Rate: -1, PerAddress: -1,
		Log: slog.New(slog.DiscardHandler),
	})
}

// provision makes streams and buckets, once the cluster has a leader.
func (f *fleet) provision(ctx context.Context) error {
	return until(ctx, func() error {
		out, err := exec.CommandContext(ctx, filepath.Join(f.options.Bin, "relaymesh"), "provision", "--nats", f.natsURL, "--replicas",
			replicas).CombinedOutput() //nolint:gosec // our own binary
		if err != nil {
			return fmt.Errorf("provision: %w: %s", err, out)
		}
		return nil
	})
}

// all lists the parts.
func (f *fleet) all() (list []*part) {
	for _, group := range []string{groupNATS, groupHome, groupFar, groupDHT, groupWorker} {
		list = append(list, f.parts[group]...)
	}
	return list
}

// close ends everything; what ctx was given to newFleet has ended.
func (f *fleet) close() {
	for _, p := range f.all() {
		p.end()
	}
	if f.pool != nil {
		f.pool.Close()
	}
	for _, nc := range []*nats.Conn{f.nc, f.system} {
		if nc != nil {
			nc.Close()
		}
	}
}

// until calls f until it succeeds.
func until(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("not in time: %w", errors.Join(context.Cause(ctx), err))
		}
	}
}
