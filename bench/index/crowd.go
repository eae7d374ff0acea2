//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/stage/index"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	dhtNodes    = 40
	hidersEach  = 2 // of the eight nodes that are nearest to an infohash
	hostileOf   = 5 // each so many index lies or is silent
	resolved    = 200
	freshEvery  = 50 // questions, then comes a machine that knows nobody
	mostTakes   = 10 * time.Minute
	foundAtBest = 0.99
)

// crowd is many real list indexes of one machine: DHT nodes, websockets, stores.
type crowd struct {
	network *dhtnet.Network
	dir     string
	hosts   int           // addresses of loopback that are taken
	urls    []string      // of the honest
	lists   []nostr.Event // by author
}

// measureCrowd starts so many indexes on a DHT of real nodes. A fifth of them lie or are silent, and are announced before the others, and
// near each infohash are nodes that hide announcements. Each honest one alone has a share of the lists at first.
func measureCrowd(ctx context.Context, count, authors int, goal goals) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "bench-indexes")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c := &crowd{dir: dir}
	if c.network, err = dhtnet.Start(ctx, dhtNodes); err != nil {
		return err
	}
	defer c.network.Close()
	hiders, err := dhtnet.Hide(index.Announced(time.Now()), hidersEach, 16)
	if err != nil {
		return err
	}
	defer hiders.Close()
	for _, node := range c.network.Nodes {
		node.Introduce(ctx, hiders.Addrs()...)
	}
	for i := range count / hostileOf {
		if err := c.startHostile(ctx, i%2 == 0); err != nil {
			return err
		}
	}
	group, running := errgroup.WithContext(ctx)
	defer func() { cancel(); _ = group.Wait() }()
	for range count - count/hostileOf {
		if err := c.startIndex(running, group); err != nil {
			return err
		}
	}
	if err := c.publish(ctx, authors); err != nil {
		return err
	}
	begun := time.Now()
	if err := c.filled(ctx, begun.Add(2*mostTakes)); err != nil {
		return err
	}
	goal(fmt.Sprintf("%d indexes hold all of %d lists", len(c.urls), authors), time.Since(begun).Minutes(), mostTakes.Minutes(), "minutes")
	return c.resolve(ctx, goal)
}

// host is an address of its own, as of one machine: the DHT's nodes name one port of each.
func (c *crowd) host() string {
	c.hosts++
	return fmt.Sprintf("127.0.%d.%d:0", 1+c.hosts/250, 1+c.hosts%250)
}

func (c *crowd) config(name, host string) config.Config {
	return config.Config{
		AllowPrivate: true, Index: config.Index{KnownFile: filepath.Join(c.dir, name+".json")},
		DHT: config.DHT{Listen: host, Bootstrap: c.network.Bootstrap(), Rate: -1, PerNode: -1},
	}
}

func (c *crowd) startIndex(ctx context.Context, group *errgroup.Group) error {
	name, host := fmt.Sprintf("index%d", len(c.urls)), c.host()
	up := make(chan string, 1)
	l := run.ListIndex{
		ServeIndex: config.ServeIndex{Announce: true, Kinds: kinds, KeyFile: filepath.Join(c.dir, name+".key")},
		Listen:     host, File: filepath.Join(c.dir, name+".db"), Config: c.config(name, host), Log: slog.New(slog.DiscardHandler),
	}
	group.Go(func() error { return l.Run(ctx, func(url string) { up <- url }) })
	select {
	case url := <-up:
		c.urls = append(c.urls, url)
		return nil
	case <-ctx.Done():
		return group.Wait()
	}
}

// startHostile announces a port at which nothing answers, or an index that answers each question with a list of somebody else.
func (c *crowd) startHostile(ctx context.Context, silent bool) error {
	host := c.host()
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", host)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { ln.Close() })
	if !silent {
		liar, err := newLiar("ws://" + ln.Addr().String())
		if err != nil {
			return err
		}
		server := &http.Server{Handler: liar, ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(ln) }() // it ends with the listener
	}
	node, err := run.StartNode(ctx, c.config("hostile", host), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer node.Close()
	for _, hash := range index.Announced(time.Now()) {
		if _, err := node.Announce(ctx, hash, netip.MustParseAddrPort(ln.Addr().String()).Port(), 20, nil); err != nil {
			return err
		}
	}
	return nil
}

// liar is an index that shows itself well and answers with a foreign list.
type liar struct{ statement, foreign nostr.Event }

func newLiar(url string) (*liar, error) {
	key, err := schnorr.NewSecret()
	if err != nil {
		return nil, err
	}
	l := &liar{
		statement: index.Announcement{URL: url, Key: key.PublicKey(), Kinds: kinds}.Event(time.Now().Unix()),
		foreign:   listOf("wss://evil.example.com"),
	}
	return l, errors.Join(key.SignEvent(&l.statement), key.SignEvent(&l.foreign))
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		w.Header().Set("Content-Type", "application/nostr+json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"supported_nips": []int{1, 11, 77},
			"list_index":     map[string]any{"version": 1, "kinds": kinds, "announcement": l.statement},
		})
		return
	}
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = ws.CloseNow() }()
	for {
		_, data, err := ws.Read(r.Context())
		var msg []json.RawMessage
		if err != nil || json.Unmarshal(data, &msg) != nil || len(msg) < 3 {
			return
		}
		answer := fmt.Appendf(nil, `["EVENT",%s,%s]`, msg[1], nostr.Encode(l.foreign))
		if ws.Write(r.Context(), websocket.MessageText, answer) != nil {
			return
		}
	}
}

func listOf(relay string) nostr.Event {
	return nostr.Event{Kind: nostr.KindRelayList, CreatedAt: time.Now().Unix() - 60, Tags: []nostr.Tag{{"r", relay}}}
}

// publish gives each list to one index.
func (c *crowd) publish(ctx context.Context, authors int) error {
	c.lists = make([]nostr.Event, authors)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, url := range c.urls {
		group.Go(func() error {
			conn, err := relay.Dial(ctx, url, relay.Options{AllowPrivate: true})
			if err != nil {
				return err
			}
			defer conn.Close()
			for n := i; n < authors; n += len(c.urls) {
				key, err := schnorr.NewSecret()
				if err != nil {
					return err
				}
				e := listOf("wss://relay.example.com")
				if err := key.SignEvent(&e); err != nil {
					return err
				}
				if _, err := conn.Publish(ctx, e); err != nil {
					return fmt.Errorf("%s: %w", url, err)
				}
				c.lists[n] = e
			}
			return nil
		})
	}
	return group.Wait()
}

// filled returns when every index holds every list.
func (c *crowd) filled(ctx context.Context, until time.Time) error {
	for lacking := slices.Clone(c.urls); ; {
		lacking = slices.DeleteFunc(lacking, func(url string) bool {
			n, err := countLists(ctx, url)
			return err == nil && n >= len(c.lists)
		})
		if len(lacking) == 0 {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("%d of %d indexes lack lists", len(lacking), len(c.urls))
		}
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// countLists asks by COUNT (NIP-45).
func countLists(ctx context.Context, url string) (int, error) {
	ws, _, err := websocket.Dial(ctx, url, nil) //nolint:bodyclose // the connection's
	if err != nil {
		return 0, err
	}
	defer func() { _ = ws.CloseNow() }()
	if err := ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `["COUNT","n",{"kinds":[%d]}]`, nostr.KindRelayList)); err != nil {
		return 0, err
	}
	for {
		_, data, err := ws.Read(ctx)
		if err != nil {
			return 0, err
		}
		var kind, id string
		var answer struct {
			Count int `json:"count"`
		}
		if json.Unmarshal(data, &[]any{&kind, &id, &answer}) == nil && kind == "COUNT" {
			return answer.Count, nil
		}
	}
}

// resolve looks authors up by public key, as processes of their own would, a few of which know nobody.
func (c *crowd) resolve(ctx context.Context, goal goals) error {
	idle := time.Now()
	before := c.packets()
	select {
	case <-time.After(time.Minute): // indexes look for others every few minutes
	case <-ctx.Done():
		return ctx.Err()
	}
	resting := float64(c.packets()-before) / time.Since(idle).Seconds()
	var waits, asked []float64
	found := 0
	begun, before := time.Now(), c.packets()
	for i := range resolved {
		want := c.lists[rand.IntN(len(c.lists))]
		at := time.Now()
		machine := c.config(fmt.Sprintf("machine%d", i/freshEvery), "127.0.0.1:0")
		answer, err := run.ResolveOnce(ctx, machine, events.ResolveRequest{PubKey: want.PubKey}, slog.New(slog.DiscardHandler), nil)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && answer.Event != nil && answer.Event.ID == want.ID {
			found++
		}
		waits, asked = append(waits, time.Since(at).Seconds()*1000), append(asked, float64(len(answer.Indexes)))
	}
	packets := float64(c.packets()-before) - resting*time.Since(begun).Seconds()
	slices.Sort(waits)
	slices.Sort(asked)
	fmt.Printf("a look-up: %.0f ms at the median, %.0f at the 95th percentile, %.0f DHT packets to nodes in the mean, with the DHT's own "+
		"records and a node that begins; %.0f indexes asked at the median, at once\n",
		waits[resolved/2], waits[resolved*95/100], packets/resolved, asked[resolved/2])
	goal("lists found, a fifth of the indexes and nodes near the infohashes hostile", float64(found)/resolved, -foundAtBest, "of all")
	return nil
}

// packets counts those that honest nodes received.
func (c *crowd) packets() (count int64) {
	for _, node := range c.network.Nodes {
		count += node.Stats().Received
	}
	return count
}
