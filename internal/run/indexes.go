package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http/httptrace"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/internal/stage/index"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// newResolver makes what finds lists at list indexes; node may be nil.
func newResolver(c config.Config, at relays, node *mainline.Node, log *slog.Logger) (*index.Resolver, error) {
	r := &index.Resolver{
		Relays: indexRelays{at}, Named: c.Index.Known, AllowPrivate: c.AllowPrivate, Now: time.Now, Log: log,
	}
	if node != nil {
		r.Network = &indexNetwork{node: node, last: map[[20]byte][]mainline.Contact{}}
	}
	if c.Index.KnownFile != "" {
		r.Store = indexFile(c.Index.KnownFile)
	}
	return r, r.Open()
}

// KnownIndex is a list index and what is known of it, Standing how it stands.
type (
	KnownIndex = index.Known
	Standing   = index.Standing
)

// Standings returns all of them, best first.
func Standings() []Standing { return index.Standings() }

// FindIndexes finds list indexes on the DHT, with a node that lives for this one search, and returns all that are known, best
// first. The error says why not one was found; those that were known are returned all the same.
func FindIndexes(ctx context.Context, c config.Config, log *slog.Logger) ([]KnownIndex, error) {
	node, err := StartNode(ctx, c, log)
	if err != nil {
		return nil, err
	}
	defer node.Close()
	at := newRelays(c, relay.Options{AllowPrivate: c.AllowPrivate, Log: log})
	r, err := newResolver(c, at, node, log)
	if err != nil {
		at.close()
		return nil, err
	}
	err = r.Find(ctx, enoughIndexes)
	at.close()
	r.Close()
	return r.Known(), err
}

// enoughIndexes are as many as one question goes to.
const enoughIndexes = 3

// lists fits a resolver to the port of the dht stage. Whoever has many authors seen must not make us ask indexes for all of them
// at once: beyond the limit none is asked.
type lists struct {
	resolver *index.Resolver
	limit    *rate.Limiter
}

const (
	// listsPerSecond and listsAtOnce are how many authors indexes are asked for.
	listsPerSecond = 5
	listsAtOnce    = 100
)

func newLists(r *index.Resolver) dht.Lists {
	return lists{r, rate.NewLimiter(listsPerSecond, listsAtOnce)}
}

func (l lists) Resolve(ctx context.Context, pubkey string) (dht.FoundList, error) {
	if !l.limit.Allow() {
		return dht.FoundList{}, errors.New("list indexes are asked for too many authors at the moment")
	}
	found, err := l.resolver.Resolve(ctx, pubkey, nostr.KindRelayList)
	list := dht.FoundList{Asked: found.Asked, Why: found.Why()}
	if e, ok := found.Lists[nostr.KindRelayList]; ok {
		list.Event = &e
	}
	return list, err
}

// indexNetwork fits a DHT node to the port of indexes.
type indexNetwork struct {
	node *mainline.Node

	mu   sync.Mutex
	last map[[20]byte][]mainline.Contact // the nodes that were near an infohash
}

// announcedTo is how many nodes an announcement goes to: those near an infohash may be somebody's who hides it.
const announcedTo = 20

func (n *indexNetwork) Peers(ctx context.Context, infohash [20]byte) (peers []netip.AddrPort, nodes int, err error) {
	found, err := n.node.Peers(ctx, infohash, 0, n.seeds(infohash))
	n.remember(infohash, found.Closest)
	for _, p := range found.Peers {
		peers = append(peers, p.Addr)
	}
	return peers, found.Answered, err
}

func (n *indexNetwork) Announce(ctx context.Context, infohash [20]byte, port uint16) (took int, err error) {
	result, err := n.node.Announce(ctx, infohash, port, announcedTo, n.seeds(infohash))
	n.remember(infohash, result.Closest)
	return result.Took, err
}

func (n *indexNetwork) seeds(infohash [20]byte) []mainline.Contact {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last[infohash]
}

// maxSeeds is for how many infohashes nodes are remembered: those of two weeks.
const maxSeeds = 32

func (n *indexNetwork) remember(infohash [20]byte, closest []mainline.Contact) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.last) >= maxSeeds {
		clear(n.last)
	}
	n.last[infohash] = closest
}

// indexRelays fits relays to the port of indexes.
type indexRelays struct{ at relays }

func (i indexRelays) Describe(ctx context.Context, url string) (s index.Statement, err error) {
	pool, err := i.at.pool(ctx, url)
	if err != nil {
		return s, err
	}
	var mu sync.Mutex
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		mu.Lock()
		defer mu.Unlock()
		if tcp, ok := got.Conn.RemoteAddr().(*net.TCPAddr); ok {
			s.Network = index.NetworkOf(tcp.AddrPort())
		}
	}})
	info, err := pool.FetchInfo(ctx, url)
	if err != nil {
		return s, err
	}
	mu.Lock()
	defer mu.Unlock()
	s.Event, err = info.Announcement()
	return s, err
}

func (i indexRelays) Ask(ctx context.Context, url string, limit int, filters ...nostr.Filter) (list []nostr.Event, err error) {
	at, err := i.at.At(ctx, url)
	if err != nil {
		return nil, err
	}
	for _, filter := range filters {
		for e, err := range at.Query(ctx, filter) {
			if err != nil {
				return nil, err
			}
			if list = append(list, e); len(list) > limit {
				return nil, fmt.Errorf("it sent more than %d events: %w", limit, reconcile.ErrMisbehaving)
			}
		}
	}
	return list, nil
}

// indexFile keeps what is known of indexes in a file.
type indexFile string

func (f indexFile) Load() (all []index.Known, err error) {
	text, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("--index-file: %w; delete the file to start without it", err)
	}
	return all, nil
}

// Save writes the file, whole or not at all.
func (f indexFile) Save(all []index.Known) error {
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(string(f)), "known")
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), string(f))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}
