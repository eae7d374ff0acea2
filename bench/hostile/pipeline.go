//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	freshKeys   = 300 // each with a list
	listed      = 20  // silent relays of a list
	silentHosts = 10
	madeUpNotes = 20
	references  = 50 // of each
	rounds      = 5
	arrival     = 2 * time.Minute // of an honest event, at most
)

// pipelinePart measures how long an honest author's event takes by a sync, a fetch
// and a look-up, quiet and beside fresh keys whose relays are silent, and what these
// leave behind.
func pipelinePart(ctx context.Context) error {
	dht, err := dhtnet.Start(ctx, 16)
	if err != nil {
		return err
	}
	defer func() { _ = dht.Close() }()
	p, err := startPipeline(ctx, dht.Bootstrap())
	if err != nil {
		return err
	}
	defer p.stop()
	if p.publisher, err = dht.Client(ctx); err != nil {
		return err
	}
	defer p.publisher.Close()
	quiet, err := p.waits(ctx)
	if err != nil {
		return err
	}
	memory, kept, disk := p.memory(), p.kept(ctx), p.disk()
	fmt.Printf("quiet: sync %v, fetch %v, look-up %v; %.0f MiB\n", quiet[0], quiet[1], quiet[2], memory)
	reached, err := p.attack(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	wait(ctx, 20*time.Second) // until it has taken what it can
	attacked, err := p.waits(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("attacked for %v: sync %v, fetch %v, look-up %v; %.0f MiB, the busiest of %d silent hosts was dialled %d times\n",
		time.Since(began).Round(time.Second), attacked[0], attacked[1], attacked[2], p.memory(), silentHosts, busiest(reached))
	for i, what := range []string{"sync", "fetch", "look-up"} {
		goal("s an honest "+what+" waits, at most", attacked[i].Seconds(), 2*quiet[i].Seconds()+2)
	}
	goal("dials of a silent host", float64(busiest(reached)), 8+time.Since(began).Seconds())
	goal("MiB of memory beyond those when quiet", p.memory()-memory, 128)
	perKey := func(bytes int64) float64 { return float64(bytes) / 1024 / (freshKeys + madeUpNotes) }
	inKV := int64(0)
	for name, size := range p.kept(ctx) {
		grown := size - kept[name]
		if strings.HasPrefix(name, "KV_") {
			inKV += grown
		}
		if perKey(grown) >= 0.1 {
			fmt.Printf("%s grew by %.1f KiB for each fresh key\n", name, perKey(grown))
		}
	}
	goal("KiB in KV for each fresh key", perKey(inKV), 2)
	fmt.Printf("files grew by %.1f KiB for each fresh key, the events in the relay among them\n", perKey(p.disk()-disk))
	return ctx.Err()
}

// pipeline is relaymesh up in a process of its own.
type pipeline struct {
	process

	dir       string
	relay     *conn
	js        jetstream.JetStream
	nats      *nats.Conn
	publisher *mainline.Node
	relays    []*homerelay.Relay // of honest authors, one for each
}

func startPipeline(ctx context.Context, bootstrap []string) (p *pipeline, err error) {
	p = &pipeline{}
	if p.dir, err = os.MkdirTemp("", "hostile"); err != nil {
		return nil, err
	}
	bin := filepath.Join(p.dir, "relaymesh")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/relaymesh").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build relaymesh: %w\n%s", err, out)
	}
	p.cmd = exec.CommandContext(ctx, bin, "up", "--data", filepath.Join(p.dir, "data"), "--allow-private", "--relay-addr", "127.0.0.1:0",
		"--nats-listen", "127.0.0.1:0", "--dht-listen", "127.0.0.1:0", "--dht-bootstrap", strings.Join(bootstrap, ","), "--admin", "")
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	in := bufio.NewReader(pipe)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("relaymesh up did not start: %w", err)
		}
		var relayURL, natsURL string
		if n, _ := fmt.Sscanf(line, "relaymesh is up: relay %s NATS %s", &relayURL, &natsURL); n == 2 {
			go func() { _, _ = io.Copy(io.Discard, in) }()
			return p, p.connect(ctx, strings.TrimSuffix(relayURL, ","), strings.TrimSuffix(natsURL, ","))
		}
	}
}

func (p *pipeline) connect(ctx context.Context, relayURL, natsURL string) (err error) {
	if p.relay, err = dial(ctx, relayURL, "127.0.0.1"); err != nil {
		return err
	}
	if p.nats, err = nats.Connect(natsURL); err != nil {
		return err
	}
	p.js, err = jetstream.New(p.nats)
	return err
}

func (p *pipeline) stop() {
	p.nats.Close()
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
	for _, r := range p.relays {
		_ = r.Close()
	}
	_ = os.RemoveAll(p.dir)
}

// kept returns the bytes of the streams, of which buckets are some, by name.
func (p *pipeline) kept(ctx context.Context) map[string]int64 {
	sizes := map[string]int64{}
	for info := range p.js.ListStreams(ctx).Info() {
		sizes[info.Config.Name] = int64(info.State.Bytes) //nolint:gosec // far below
	}
	return sizes
}

// disk returns the bytes of its files.
func (p *pipeline) disk() (size int64) {
	_ = filepath.Walk(filepath.Join(p.dir, "data"), func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			size += info.Size()
		}
		return nil
	})
	return size
}

// waits returns the longest waits for an event by a sync, a fetch and a look-up.
func (p *pipeline) waits(ctx context.Context) (longest [3]time.Duration, err error) {
	for range rounds {
		for i, way := range []func(context.Context) (time.Duration, error){p.sync, p.fetch, p.lookUp} {
			took, err := way(ctx)
			if err != nil {
				return longest, err
			}
			longest[i] = max(longest[i], took.Round(time.Millisecond))
		}
	}
	return longest, nil
}

// author is an honest author whom nobody knows, and a relay of theirs with a note.
type author struct {
	key  *schnorr.SecretKey
	url  string
	note nostr.Event
}

// author starts such a relay, at an address of its own: addresses are counted.
func (p *pipeline) author(ctx context.Context) (a author, err error) {
	r, err := homerelay.Start(ctx, homerelay.Config{
		Addr: fmt.Sprintf("127.0.4.%d:0", len(p.relays)+1), Path: filepath.Join(p.dir, fmt.Sprint("relay", len(p.relays))),
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return a, err
	}
	p.relays = append(p.relays, r)
	key, err := schnorr.NewSecret()
	if err != nil {
		return a, err
	}
	a = author{key: key, url: r.URL()}
	if a.note, err = signed(key, nostr.Event{Kind: 1, Content: "an honest note"}); err != nil {
		return a, err
	}
	c, err := dial(ctx, a.url, "127.0.0.1")
	if err != nil {
		return a, err
	}
	defer c.close()
	_, err = c.publish(ctx, &a.note)
	return a, err
}

func signed(key *schnorr.SecretKey, e nostr.Event) (nostr.Event, error) {
	e.CreatedAt = time.Now().Unix()
	return e, key.SignEvent(&e)
}

// arrives publishes an event that leads to the author's note, and returns how long
// the note took.
func (p *pipeline) arrives(ctx context.Context, a author, leads nostr.Event) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	began := time.Now()
	if _, err := p.relay.publish(ctx, &leads); err != nil {
		return 0, err
	}
	if err := p.relay.send(ctx, fmt.Sprintf(`["REQ","%.8s",{"ids":["%s"]}]`, a.note.ID, a.note.ID)); err != nil {
		return 0, err
	}
	for {
		data, err := p.relay.next(ctx)
		if err != nil {
			return 0, fmt.Errorf("an honest note did not arrive within %v: %w", arrival, err)
		}
		if strings.HasPrefix(string(data), fmt.Sprintf(`["EVENT","%.8s"`, a.note.ID)) {
			return time.Since(began), nil
		}
	}
}

func (p *pipeline) sync(ctx context.Context) (time.Duration, error) {
	a, err := p.author(ctx)
	if err != nil {
		return 0, err
	}
	list, err := signed(a.key, nostr.Event{Kind: 10002, Tags: []nostr.Tag{{"r", a.url}}})
	if err != nil {
		return 0, err
	}
	return p.arrives(ctx, a, list)
}

func (p *pipeline) fetch(ctx context.Context) (time.Duration, error) {
	a, err := p.author(ctx)
	if err != nil {
		return 0, err
	}
	other, err := schnorr.NewSecret()
	if err != nil {
		return 0, err
	}
	refers, err := signed(other, nostr.Event{Kind: 1, Tags: []nostr.Tag{{"e", a.note.ID, a.url}}})
	if err != nil {
		return 0, err
	}
	return p.arrives(ctx, a, refers)
}

// lookUp has the author's list on the DHT only.
func (p *pipeline) lookUp(ctx context.Context) (time.Duration, error) {
	a, err := p.author(ctx)
	if err != nil {
		return 0, err
	}
	list, err := run.SignList(a.key, []string{a.url}, time.Now().Unix())
	if err != nil {
		return 0, err
	}
	if _, err := p.publisher.Put(ctx, list.Item, mainline.PutOptions{}); err != nil {
		return 0, err
	}
	names, err := signed(a.key, nostr.Event{Kind: 1, Tags: []nostr.Tag{{"dht_key", hex.EncodeToString(list.Item.Key[:])}}})
	if err != nil {
		return 0, err
	}
	return p.arrives(ctx, a, names)
}

// attack has fresh keys name silent hosts by many paths, in lists and in hints, and
// returns how often each is dialled from then on.
func (p *pipeline) attack(ctx context.Context) (reached []*atomic.Int64, err error) {
	var hosts []string
	for i := range silentHosts {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.5.%d:0", i+1))
		if err != nil {
			return nil, err
		}
		dials := &atomic.Int64{}
		reached, hosts = append(reached, dials), append(hosts, "ws://"+l.Addr().String())
		context.AfterFunc(ctx, func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				dials.Add(1)
				context.AfterFunc(ctx, func() { c.Close() })
			}
		}()
	}
	silent := func(i int) string { return fmt.Sprintf("%s/user/%d", hosts[i%silentHosts], i) }
	for i := range freshKeys {
		var tags []nostr.Tag
		for j := range listed {
			tags = append(tags, nostr.Tag{"r", silent(listed*i + j)})
		}
		err = errors.Join(err, p.strange(ctx, nostr.Event{Kind: 10002, Tags: tags}))
	}
	for i := range madeUpNotes {
		var tags []nostr.Tag
		for j := range references {
			tags = append(tags, nostr.Tag{"e", fmt.Sprintf("%064x", references*i+j), silent(references*i + j)})
		}
		err = errors.Join(err, p.strange(ctx, nostr.Event{Kind: 1, Tags: tags}))
	}
	return reached, err
}

// strange publishes an event of a fresh key.
func (p *pipeline) strange(ctx context.Context, e nostr.Event) error {
	key, err := schnorr.NewSecret()
	if err != nil {
		return err
	}
	if e, err = signed(key, e); err != nil {
		return err
	}
	_, err = p.relay.publish(ctx, &e)
	return err
}

func busiest(reached []*atomic.Int64) (most int64) {
	for _, dials := range reached {
		most = max(most, dials.Load())
	}
	return most
}
