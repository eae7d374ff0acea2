package sim_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// network is the DHT: a map of items with a script. The sixteen nodes nearest
// to a target are always the same.
type network struct {
	mu      sync.Mutex
	items   map[string]bep44.Item     // by target
	copies  map[string]*[16]time.Time // when each of the nodes got the item
	lost    map[string]int            // how often no node had the item any more
	holders map[string]int            // how many nodes hold an item, whatever happens
	other   map[string]bool           // some node holds another value of the same seq
	forgets bool                      // nodes forget an item after two hours
	down    bool
	latency time.Duration // how long a put takes
	puts    []dhtPut
	gets    []string // DHT keys
}

type dhtPut struct {
	target string
	seq    int64
	at     time.Time
	how    dht.How
	stored bool
}

func newNetwork() *network {
	return &network{
		items: map[string]bep44.Item{}, copies: map[string]*[16]time.Time{}, lost: map[string]int{},
		holders: map[string]int{}, other: map[string]bool{},
	}
}

func (n *network) set(change func(n *network)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

func (n *network) Put(ctx context.Context, item bep44.Item, _ []dht.Node, how dht.How) (dht.Found, error) {
	n.mu.Lock()
	takes := n.latency
	n.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return dht.Found{}, context.Cause(ctx)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	target := stage.TargetHex(item)
	n.puts = append(n.puts, dhtPut{target, item.Seq, time.Now(), how, !n.down})
	if n.down {
		return dht.Found{}, errors.New("no node answers")
	}
	if err := item.Verify(); err != nil {
		return dht.Found{}, err
	}
	old, stored := n.items[target]
	if stored && old.Seq > item.Seq {
		n.puts[len(n.puts)-1].stored = false
		return dht.Found{Newer: &old}, nil
	}
	if n.copies[target] == nil || old.Seq < item.Seq {
		n.copies[target] = &[16]time.Time{}
	}
	n.items[target] = item
	found := n.apply(target, how)
	found.Equivocal = n.other[target]
	return found, nil
}

// apply puts an item to the nodes that how names, and tells how it stands.
func (n *network) apply(target string, how dht.How) (found dht.Found) {
	if count, scripted := n.holders[target]; scripted {
		for i := range count {
			found.Had = append(found.Had, dht.Node{byte(i)})
		}
		found.Closest = found.Had
		return found
	}
	copies := n.copies[target]
	kept := func(at time.Time) bool { return !at.IsZero() && (!n.forgets || time.Since(at) < 2*time.Hour) }
	if *copies != ([16]time.Time{}) && !slices.ContainsFunc(copies[:], kept) {
		n.lost[target]++
	}
	holders, renewed := how.Nodes()
	for i := range copies {
		node, has := dht.Node{byte(i)}, kept(copies[i])
		if i < 12 || i < holders {
			found.Closest = append(found.Closest, node)
		}
		switch {
		case i >= holders:
		case has:
			found.Had = append(found.Had, node)
		default:
			found.Got = append(found.Got, node)
		}
		if i < renewed || i < holders && !has {
			copies[i] = time.Now()
		}
	}
	return found
}

func (n *network) Get(_ context.Context, key [32]byte, salt []byte) (bep44.Item, int, bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gets = append(n.gets, hexOf(key[:]))
	if n.down {
		return bep44.Item{}, 0, false, errors.New("no node answers")
	}
	target := bep44.Target(key, salt)
	item, found := n.items[hexOf(target[:])]
	return item, 8, found, nil
}

// resolve is the service of the dht stage, without its state.
func (n *network) resolve(ctx context.Context, r events.ResolveRequest) (events.ResolveResponse, error) {
	s := &dht.Stage{Network: n}
	return s.Resolve(ctx, events.ResolveRequest{DHTKey: r.DHTKey})
}

// hows returns how a target was put, in order.
func (n *network) hows(target string) (how []dht.How) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.puts {
		if p.target == target {
			how = append(how, p.how)
		}
	}
	return how
}

// putsOf returns when a target was put.
func (n *network) putsOf(target string) (at []time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.puts {
		if p.target == target {
			at = append(at, p.at)
		}
	}
	return at
}

func (n *network) getsOf(dhtKey string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, key := range n.gets {
		if key == dhtKey {
			count++
		}
	}
	return count
}

// relays are the relays of the world and the local one.
type relays struct {
	mu    sync.Mutex
	byURL map[string]*remote
}

// remote is one relay: a list of events with a script.
type remote struct {
	events  []nostr.Event
	down    bool
	plain   bool          // speaks no NIP-77
	page    int           // the most that it gives for one REQ; 0 is all
	latency time.Duration // how long it takes to answer
	refuse  func(e nostr.Event) string
	silent  bool  // gives no NIP-11 document
	fault   error // what it does to whoever asks
	accepts int   // what it says of the negentropy messages that it takes
	cuts    int   // how often its subscribers were cut off
	lies    lie   // what it says is not what it has
	most    int   // authors that it takes in a filter; 0 is any number

	queries, sessions, probes int
	written                   int            // events that it said OK to
	longest                   int            // negentropy message
	times                     []time.Time    // of queries and sessions
	waiting                   int            // queries and sessions that have no answer yet
	asked                     map[string]int // how often an event was asked for by id

	changed     chan struct{} // closed and replaced with every change
	subscribers int
	subscribed  int // how often somebody subscribed
}

// lie is how what a relay says is not what it has; none of these tell subscribers.
type lie int

const (
	hides        lie = iota + 1 // events in sessions, which REQs show
	withholds                   // events that its sessions list
	keepsNothing                // of what it says OK to
	invents                     // ids in sessions
)

var errDown = errors.New("no connection")

func newRelays() *relays { return &relays{byURL: map[string]*remote{home: {}}} }

// relay returns the relay at a URL, which it makes if need be.
func (r *relays) relay(url string) *remote {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byURL[url] == nil {
		r.byURL[url] = &remote{}
	}
	return r.byURL[url]
}

// set changes the script of a relay.
func (r *relays) set(url string, change func(x *remote)) {
	x := r.relay(url)
	r.mu.Lock()
	defer r.mu.Unlock()
	change(x)
	x.signal()
}

// signal wakes the subscribers; relays.mu is held.
func (x *remote) signal() {
	if x.changed != nil {
		close(x.changed)
		x.changed = nil
	}
}

// seen copies a relay's state.
func (r *relays) seen(url string) remote {
	x := r.relay(url)
	r.mu.Lock()
	defer r.mu.Unlock()
	c := *x
	c.events, c.times, c.asked = slices.Clone(x.events), slices.Clone(x.times), maps.Clone(x.asked)
	return c
}

// ids returns the ids that a relay holds, sorted.
func (r *relays) ids(url string) (ids []string) {
	for _, e := range r.seen(url).events {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

// answer waits as long as the relay takes and returns what matches there,
// newest first.
func (r *relays) answer(ctx context.Context, url string, f nostr.Filter) ([]nostr.Event, *remote, error) {
	x := r.relay(url)
	r.mu.Lock()
	takes := x.latency
	x.times = append(x.times, time.Now())
	x.waiting++
	r.mu.Unlock()
	var given error
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		given = context.Cause(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	x.waiting--
	if given != nil {
		return nil, x, given
	}
	if x.down {
		return nil, x, errDown
	}
	if x.fault != nil {
		return nil, x, fmt.Errorf("%w: at every question", x.fault)
	}
	var list []nostr.Event
	for _, e := range x.events {
		if f.Match(&e) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b nostr.Event) int {
		return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return list, x, nil
}

// At returns one of the relays.
func (r *relays) At(_ context.Context, url string) (reconcile.Relay, error) { return at{r, url}, nil }

// tooManyAuthors is how a relay refuses a filter that names too many.
const tooManyAuthors = "error: too many authors"

// wordless is the refusal of a relay that gives no reason.
const wordless = "\x00"

// at is one of the relays.
type at struct {
	*relays

	url string
}

func (r at) Query(ctx context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	return r.query(ctx, r.url, filters[0])
}

func (r *relays) query(ctx context.Context, url string, f nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		list, x, err := r.answer(ctx, url, f)
		r.mu.Lock()
		x.queries++
		if err == nil && x.most > 0 && len(f.Authors) > x.most {
			err = reconcile.NewQueryRefusal(tooManyAuthors)
		}
		for _, id := range f.IDs {
			if x.asked == nil {
				x.asked = map[string]int{}
			}
			x.asked[id]++
		}
		for _, most := range []int{f.Limit, x.page} {
			if most > 0 {
				list = list[:min(len(list), most)]
			}
		}
		if x.lies == withholds {
			list = nil
		}
		r.mu.Unlock()
		if err != nil {
			yield(nostr.Event{}, err)
			return
		}
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (r *relays) Find(ctx context.Context, url, id string) (*nostr.Event, error) {
	for e, err := range r.query(ctx, url, nostr.Filter{IDs: []string{id}}) {
		if err != nil {
			return nil, err
		}
		return &e, nil
	}
	return nil, nil
}

func (r at) Publish(_ context.Context, e nostr.Event) (reply reconcile.Reply, err error) {
	x := r.relay(r.url)
	r.mu.Lock()
	defer r.mu.Unlock()
	if x.down {
		return reply, errDown
	}
	if x.refuse != nil {
		if why := x.refuse(e); why != "" {
			return reconcile.ParseReply(false, strings.TrimPrefix(why, wordless)), nil
		}
	}
	if x.written++; x.lies == keepsNothing {
		return reconcile.Reply{Outcome: reconcile.Stored}, nil
	}
	if !slices.ContainsFunc(x.events, func(have nostr.Event) bool { return have.ID == e.ID }) {
		x.events = append(x.events, e)
		x.signal()
	}
	return reconcile.Reply{Outcome: reconcile.Stored}, nil
}

// Subscribe yields what is there and what comes, until the relay is down or
// cuts its subscribers off.
func (r at) Subscribe(ctx context.Context, filters ...nostr.Filter) iter.Seq2[reconcile.Update, error] {
	return func(yield func(reconcile.Update, error) bool) {
		x := r.relay(r.url)
		r.mu.Lock()
		x.subscribers++
		x.subscribed++
		cuts := x.cuts
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			x.subscribers--
			r.mu.Unlock()
		}()
		for sent, first := 0, true; ; first = false {
			r.mu.Lock()
			if x.changed == nil {
				x.changed = make(chan struct{})
			}
			changed, ended, fresh := x.changed, x.down || x.cuts != cuts, slices.Clone(x.events[sent:])
			sent = len(x.events)
			if x.lies != 0 {
				fresh = nil
			}
			r.mu.Unlock()
			if ended {
				yield(reconcile.Update{}, errDown)
				return
			}
			for _, e := range fresh {
				if slices.ContainsFunc(filters, func(f nostr.Filter) bool { return f.Match(&e) }) && !yield(reconcile.Update{Event: e}, nil) {
					return
				}
			}
			if first && !yield(reconcile.Update{EOSE: true}, nil) {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				yield(reconcile.Update{}, context.Cause(ctx))
				return
			}
		}
	}
}

func (r at) Open(ctx context.Context, f nostr.Filter, first []byte) (reconcile.Session, []byte, error) {
	list, x, err := r.answer(ctx, r.url, f)
	if err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	x.sessions++
	plain, refused := x.plain, x.most > 0 && len(f.Authors) > x.most
	var items []negentropy.Item
	switch x.lies {
	case hides:
		list = nil
	case invents:
		items = invented()
	}
	r.mu.Unlock()
	switch {
	case plain:
		return nil, nil, reconcile.ErrNoNegentropy
	case refused:
		return nil, nil, reconcile.NewSessionRefusal(tooManyAuthors)
	}
	for _, e := range list {
		id, err := negentropy.ParseID(e.ID)
		if err != nil {
			return nil, nil, err
		}
		items = append(items, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
	}
	s := session{negentropy.NewReconciler(negentropy.NewVector(items), negentropy.Options{}), r.relays, x}
	answer, err := s.Exchange(ctx, first)
	return s, answer, err
}

// Limits are what the relay says of the messages that it takes.
func (r at) Limits(context.Context) reconcile.Limits {
	return reconcile.Limits{Accepts: r.seen(r.url).accepts}
}

type session struct {
	responder *negentropy.Reconciler
	relays    *relays
	at        *remote
}

func (s session) Exchange(_ context.Context, msg []byte) ([]byte, error) {
	s.relays.mu.Lock()
	s.at.longest = max(s.at.longest, len(msg))
	s.relays.mu.Unlock()
	answer, err := s.responder.Respond(msg)
	return bytes.Clone(answer), err
}

func (session) Close() {}

// missing asks the local relay, as ingest's port.
func (r *relays) missing(_ context.Context, refs []events.NoteMissing) (missing []events.NoteMissing, err error) {
	x := r.relay(home)
	r.mu.Lock()
	defer r.mu.Unlock()
	if x.down {
		return nil, errDown
	}
	for _, ref := range refs {
		f := ref.Filter()
		if !slices.ContainsFunc(x.events, func(e nostr.Event) bool { return f.Match(&e) }) {
			missing = append(missing, ref)
		}
	}
	return missing, nil
}

// deleted asks the local relay for deletions of an event by its author.
func (r *relays) deleted(_ context.Context, e *nostr.Event) (bool, error) {
	x := r.relay(home)
	r.mu.Lock()
	defer r.mu.Unlock()
	if x.down {
		return false, errDown
	}
	return slices.ContainsFunc(x.events, func(word nostr.Event) bool {
		return word.Kind == 5 && word.PubKey == e.PubKey && slices.ContainsFunc(word.Tags, func(t nostr.Tag) bool { return t.At(1) == e.ID })
	}), nil
}

// handshake is how long a NIP-11 document is waited for.
const handshake = 10 * time.Second

// probe fetches the NIP-11 document, as the dht stage's port.
func (r *relays) probe(ctx context.Context, url string) (contract.Relay, error) {
	x := r.relay(url)
	takes := min(r.seen(url).latency, handshake)
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return contract.Relay{}, context.Cause(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	x.probes++
	if x.down || x.silent || takes == handshake {
		return contract.Relay{}, errDown
	}
	return contract.Relay{URL: url, Name: "name of " + url, NIPs: []int{1, 11, 77}}, nil
}
