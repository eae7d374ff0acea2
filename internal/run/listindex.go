package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/index"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// ListIndex is a list index to be served.
type ListIndex struct {
	config.ServeIndex

	Listen  string         // host:port
	Flag    string         // that says so: --listen
	File    string         // its store
	Proxies []netip.Prefix // see homerelay.Config
	// Home is the relay that it stands beside, Token what opens it; "" is none. What is written there goes into the index
	// at once.
	Home, Token string
	// Config is of the process: DHT, Index, AllowPrivate, Deny and Admin, where it tells of itself.
	Config config.Config
	// Metrics is where the process has its metrics; nil is a process of the index's own, which tells of its DHT node and of
	// Go, too.
	Metrics prometheus.Registerer
	// Told, if set, gets what tells how the index does, once it serves.
	Told func(ready func() error, figures func() contract.Index)
	Log  *slog.Logger
}

const (
	// signEvery is how often an index signs anew that it is one.
	signEvery = 24 * time.Hour
	// takeEvery is how often it takes over what the relays of --index-from have.
	takeEvery = 5 * time.Minute
	// maxUnwanted is how many events that it refused are remembered, so that they are not read again.
	maxUnwanted = 100_000
	// lookedUp is to whom it is counted what was looked up for those who asked: they choose the authors.
	lookedUp = "looked up"
)

// listIndex is one that runs.
type listIndex struct {
	ListIndex

	relay    *homerelay.Relay
	relays   relays
	key      *schnorr.SecretKey
	resolver *index.Resolver
	lookUp   *index.LookUp
	url      string
	kinds    []int // all that it syncs: its own, deletions, requests to vanish
	announce index.Announcer
	metrics  *indexMetrics
	signed   atomic.Pointer[nostr.Event]
	unwanted recent.Map[negentropy.ID, bool]
}

// Run serves the index until ctx ends. up is called with its URL once it serves.
func (l ListIndex) Run(ctx context.Context, up func(url string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of the admin endpoint, also where there is never an index
	admin, err := ListenAdmin(ctx, l.Config)
	if err != nil {
		return err
	}
	denied, err := OpenDeny(l.Config.Deny, l.Log)
	if err != nil {
		return err
	}
	key, err := schnorr.OpenSecretFile(l.KeyFile, l.Log)
	if err != nil {
		return fmt.Errorf("--index-key-file: %w", err)
	}
	node, err := StartNode(ctx, l.Config, l.Log)
	if err != nil {
		return err
	}
	defer node.Close()
	options := relay.Options{AllowPrivate: l.Config.AllowPrivate, Denied: denied.Lists(), Log: l.Log}
	i := &listIndex{
		ListIndex: l, key: key, kinds: append(slices.Clone(l.Kinds), nostr.KindDeletion, nostr.KindVanish),
		unwanted: recent.Map[negentropy.ID, bool]{Size: maxUnwanted},
	}
	serve := homerelay.Config{
		Addr: l.Listen, URL: l.URL, Path: l.File, Name: "relaymesh list index", Log: l.Log, Denied: denied.Lists(), PubKey: key.PublicKey(),
		Description: "Keeps the lists of everybody: kinds " + strings.Trim(fmt.Sprint(l.Kinds), "[]") + ".", TrustedProxies: l.Proxies,
		Kinds: l.Kinds, MaxBytes: int64(l.MaxMiB) << 20,
		LookUp: func(ctx context.Context, lacking []nostr.Address) { i.lookUp.Lacking(ctx, lacking) },
		Info:   i.info, Pages: http.HandlerFunc(i.page),
	}
	if err := i.open(ctx, serve, options, node); err != nil {
		return PortError(l.Flag, err)
	}
	defer i.close()
	group, ctx := errgroup.WithContext(ctx)
	i.watch(ctx, group, admin, node)
	group.Go(func() error { return denied.Watch(ctx) })
	group.Go(func() error { return i.relay.Guard(ctx) })
	group.Go(func() error { PurgeDenied(ctx, denied.Lists(), l.Log, i.relay.Purge); return nil })
	i.fill(ctx, group)
	if l.Told != nil {
		l.Told(i.relay.Ready, i.figures)
	}
	up(i.url)
	return group.Wait()
}

// open starts to serve. The relay asks for its fields and pages from then on, so it comes last.
func (i *listIndex) open(ctx context.Context, serve homerelay.Config, options relay.Options, node *mainline.Node) (err error) {
	// The relay of the index is the home of these relays.
	i.relays = newRelays(config.Config{Only: i.Config.Only}, options)
	if i.resolver, err = newResolver(i.Config, i.relays, node, i.Log); err != nil {
		i.relays.close()
		return err
	}
	i.resolver.Self = func(s index.Statement) bool { return s.Event.PubKey == i.key.PublicKey() }
	i.resolver.Verified = i.keep
	i.lookUp = &index.LookUp{
		Resolver: i.resolver, Kinds: i.Kinds, Now: time.Now, Log: i.Log,
		Keep: func(e nostr.Event) { i.relay.AcceptFrom(lookedUp, &e) },
	}
	listening := make(chan struct{})
	lookUp, info, pages := serve.LookUp, serve.Info, serve.Pages
	serve.LookUp = func(ctx context.Context, lacking []nostr.Address) { <-listening; lookUp(ctx, lacking) }
	serve.Info = func() map[string]any { <-listening; return info() }
	serve.Pages = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { <-listening; pages.ServeHTTP(w, req) })
	if i.relay, err = homerelay.Start(ctx, serve); err != nil {
		i.relays.close()
		return err
	}
	i.url = i.relay.URL()
	if i.URL != "" {
		i.url = i.URL
	}
	err = i.sign()
	close(listening)
	return err
}

func (i *listIndex) close() {
	i.relays.close()
	i.resolver.Close()
	if err := i.resolver.Save(); err != nil {
		i.Log.Warn("what is known of list indexes was not saved", "err", err)
	}
	if err := i.relay.Close(); err != nil {
		i.Log.Error("the list index was not closed well", "err", err)
	}
}

// sign signs that this is an index, which its own relay keeps, too.
func (i *listIndex) sign() error {
	e := index.Announcement{URL: i.url, Key: i.key.PublicKey(), Kinds: i.Kinds}.Event(time.Now().Unix())
	if err := i.key.SignEvent(&e); err != nil {
		return err
	}
	i.signed.Store(&e)
	i.keep(e)
	return nil
}

// keep puts the announcement of an index into the store.
func (i *listIndex) keep(e nostr.Event) {
	if ok, why := i.relay.Keep(&e); !ok {
		i.Log.Debug("an index's announcement was not kept", "pubkey", e.PubKey, "reason", why)
	}
}

// info is what the NIP-11 document says of the index.
func (i *listIndex) info() map[string]any {
	return map[string]any{"list_index": map[string]any{"version": 1, "kinds": i.Kinds, "announcement": i.signed.Load()}}
}

// fill starts all that fills the index and makes it known.
func (i *listIndex) fill(ctx context.Context, group *errgroup.Group) {
	pull := &index.Puller{Resolver: i.resolver, Pull: i.pull, Log: i.Log}
	group.Go(func() error { pull.Run(ctx); return nil })
	group.Go(func() error { i.every(ctx, signEvery, func() { _ = i.sign() }); return nil }) // the last one stands for a week
	if len(i.From) > 0 {
		group.Go(func() error { i.takeOver(ctx); i.every(ctx, takeEvery, func() { i.takeOver(ctx) }); return nil })
	}
	if i.Home != "" {
		group.Go(func() error { i.follow(ctx); return nil })
	}
	if i.Announce {
		_, port, _ := net.SplitHostPort(strings.TrimPrefix(i.relay.URL(), "ws://")) // it listens there
		number, _ := strconv.ParseUint(port, 10, 16)
		a := &i.announce
		a.Network, a.Port, a.Now, a.Log = i.resolver.Network, uint16(number), time.Now, i.Log
		group.Go(func() error { a.Run(ctx); return nil })
	}
}

// watch has the index tell how it is: by metrics, and if the process has an admin endpoint, there.
func (i *listIndex) watch(ctx context.Context, group *errgroup.Group, admin *obs.Admin, node *mainline.Node) {
	own := prometheus.NewRegistry()
	to := i.Metrics
	if to == nil {
		to = own
		own.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
			collectors.NewBuildInfoCollector())
		watchNode(own, node)
		watchIndexes(own, i.resolver)
	}
	i.metrics = newIndexMetrics(to, i.relay, &i.announce)
	if admin == nil {
		return
	}
	group.Go(admin.Wait)
	admin.Started(own, func() []obs.Check {
		return []obs.Check{{Name: "running", Err: ctx.Err()}, {Name: "list index", Err: i.relay.Ready()}}
	}, nil)
}

// figures are those that the console shows.
func (i *listIndex) figures() contract.Index {
	events, bytes, _ := i.relay.Kept() // a store that cannot be read is not ready, and says so there
	return contract.Index{URL: i.url, Events: events, Bytes: bytes, Pulled: i.metrics.events.Load(), Announced: i.announce.Took()}
}

func (i *listIndex) every(ctx context.Context, period time.Duration, do func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}

// pull takes over from another index.
func (i *listIndex) pull(ctx context.Context, from index.Known) (events int, err error) {
	events, err = i.syncFrom(ctx, from.URL, cmp.Or(from.Network, from.URL), nostr.Filter{Kinds: i.kinds})
	if err == nil || ctx.Err() == nil {
		i.metrics.count(events, err)
	}
	return events, err
}

// takeOver takes over from the relays of --index-from, which keep other events, too: of deletions those that say that they
// are of these kinds.
func (i *listIndex) takeOver(ctx context.Context) {
	var kinds []string
	for _, kind := range i.Kinds {
		kinds = append(kinds, strconv.Itoa(kind))
	}
	for _, url := range i.From {
		for _, filter := range []nostr.Filter{
			{Kinds: append(slices.Clone(i.Kinds), nostr.KindVanish)},
			{Kinds: []int{nostr.KindDeletion}, Tags: map[string][]string{"k": kinds}},
		} {
			if _, err := i.syncFrom(ctx, url, url, filter); err != nil && ctx.Err() == nil {
				i.Log.InfoContext(ctx, "couldn't take over the lists of a relay", "relay", url, "err", err)
			}
		}
	}
}

// syncFrom takes over what matches a filter and the index lacks, counted to whom it comes from, by name. What it refused once is
// not read again.
func (i *listIndex) syncFrom(ctx context.Context, url, name string, filter nostr.Filter) (events int, err error) {
	there, err := i.relays.At(ctx, url)
	if err != nil {
		return 0, err
	}
	options := relay.Options{AllowPrivate: true, Local: true, Token: i.relay.Token(), Log: i.Log}
	own, err := relay.Dial(ctx, i.relay.URL(), options)
	if err != nil {
		return 0, err
	}
	defer own.Close()
	here, source := reconcile.Side{Relay: countedTo{own, i.relay, name}, Name: i.relay.URL()}, reconcile.Side{Relay: there, Name: url}
	result, err := reconcile.Sync(ctx, here, source, filter, reconcile.Options{
		Direction: reconcile.Down,
		Refused:   func(_ negentropy.Side, id negentropy.ID) bool { refused, _ := i.unwanted.Get(id); return refused },
		Remember:  func(r reconcile.Refusal) { i.unwanted.Put(r.ID, true) },
	})
	return result.ToA, err
}

// countedTo is the index's relay for what somebody else brings.
type countedTo struct {
	reconcile.Relay

	relay *homerelay.Relay
	name  string
}

func (c countedTo) Publish(_ context.Context, e nostr.Event) (reconcile.Reply, error) {
	ok, why := c.relay.AcceptFrom(c.name, &e)
	if !ok {
		return reconcile.Reply{Outcome: reconcile.Refused, Reason: reconcile.ParseReason(why)}, nil
	}
	return reconcile.Reply{Outcome: reconcile.Stored}, nil
}

// follow takes in what the relay that the index stands beside has and receives.
func (i *listIndex) follow(ctx context.Context) {
	since := int64(0)
	options := relay.Options{AllowPrivate: true, Local: true, Token: i.Token, Log: i.Log}
	for ctx.Err() == nil {
		err := relay.Tail(ctx, i.Home, options, relay.Follow{
			Filter: nostr.Filter{Kinds: i.kinds}, Since: since,
			Handle:   func(_ context.Context, e nostr.Event) error { i.relay.Accept(&e); return nil },
			CaughtUp: func(_ context.Context, through int64) error { since = through - overlap; return nil },
		})
		if ctx.Err() != nil {
			return
		}
		i.Log.DebugContext(ctx, "the relay beside the list index ended the subscription", "err", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// overlap is how many seconds before what was caught up with a subscription begins again.
const overlap = 3600

// errNoNpub says what a page of a list is asked by.
var errNoNpub = errors.New("ask for /list/ and an npub or 64 hex digits")
