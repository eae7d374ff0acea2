// Package khatrutest runs khatru as its users run it, with its own NIP-77 on,
// as a relay that is not ours: for the demo's other relays, and for tests that
// want an independent peer. Events are in memory, and if it is given a file,
// also there before they are acknowledged.
//
// It must not be reached by strangers: khatru v0.19.1 crashes the process on a
// malformed negentropy message. It does not deliver live events, because
// khatru walks its list of listeners without the lock under which it changes
// it: a stored event is answered like a duplicate, which is not broadcast.
package khatrutest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/fiatjaf/eventstore"
	"github.com/fiatjaf/khatru"
	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Relay is a khatru relay that serves. It is made by [Start].
type Relay struct {
	url    string
	server *http.Server
	served chan error

	mu     sync.Mutex
	policy func(*gonostr.Event) (reason string)
	lies   Lies
	events []*gonostr.Event  // newest first, equal times by lowest id
	conns  map[net.Conn]bool // http.Server forgets those that became websockets
	byID   map[string]*gonostr.Event
	file   *journal // nil without a file
}

// Config says where a relay listens and keeps its events.
type Config struct {
	Addr string // host:port to listen on; "" is a free port of 127.0.0.1
	Path string // the file of the events; "" is none
	Log  *slog.Logger
	// Plain is a relay without NIP-77.
	Plain bool
	// Guards is a URL by which the relay is known. It shows direct messages of kind 4
	// to clients alone that have said there who they are, and counts (NIP-42, NIP-45).
	Guards string
}

// Start serves on a free port of 127.0.0.1, without a file, until
// [Relay.Close]. The context bounds the start only.
func Start(ctx context.Context, log *slog.Logger) (*Relay, error) {
	return StartWith(ctx, Config{Log: log})
}

// StartWith is [Start] as the configuration says. What the file holds is
// served again.
func StartWith(ctx context.Context, c Config) (*Relay, error) {
	log := c.Log
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", cmp.Or(c.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("khatru peer: %w", err)
	}
	r := &Relay{
		url:    "ws://" + ln.Addr().String(),
		served: make(chan error, 1),
		conns:  map[net.Conn]bool{},
		byID:   map[string]*gonostr.Event{},
	}
	if c.Path != "" {
		if err := r.load(c.Path); err != nil {
			return nil, errors.Join(fmt.Errorf("khatru peer: %w", err), ln.Close())
		}
	}
	rl := khatru.NewRelay()
	rl.Log = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	rl.Negentropy = !c.Plain
	rl.RejectEvent = append(rl.RejectEvent, r.reject)
	rl.StoreEvent = append(rl.StoreEvent, r.store)
	rl.ReplaceEvent = append(rl.ReplaceEvent, r.store)
	rl.DeleteEvent = append(rl.DeleteEvent, r.remove)
	rl.QueryEvents = append(rl.QueryEvents, r.query)
	if c.Guards != "" {
		rl.ServiceURL = c.Guards
		rl.RejectFilter = append(rl.RejectFilter, guard)
		rl.CountEvents = append(rl.CountEvents, r.count)
	}
	r.server = &http.Server{Handler: rl, ErrorLog: rl.Log, ConnState: r.track}
	go func() { r.served <- r.server.Serve(ln) }()
	return r, nil
}

// URL is the websocket address, ws://host:port.
func (r *Relay) URL() string { return r.url }

// SetPolicy makes the relay refuse the events for which policy returns a
// reason, such as "blocked: not here".
func (r *Relay) SetPolicy(policy func(*gonostr.Event) (reason string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.policy = policy
}

// Lies is how a relay contradicts itself. Each may be nil.
type Lies struct {
	Hides  func(*gonostr.Event) bool // is in no session, and delivered by REQ
	Claims []*gonostr.Event          // are in sessions, and delivered by no REQ
	Drops  func(*gonostr.Event) bool // OK true, and not stored
}

// SetLies makes the relay contradict itself from then on.
func (r *Relay) SetLies(lies Lies) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lies = lies
}

// Forget drops what is stored, without a word to anybody.
func (r *Relay) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.byID = nil, map[string]*gonostr.Event{}
}

// shown is what a query looks at, of all that is stored or of some ids; mu is held.
func (r *Relay) shown(ctx context.Context, ids []string) (list []*gonostr.Event) {
	switch {
	case !eventstore.IsNegentropySession(ctx) && len(ids) == 0:
		return r.events
	case !eventstore.IsNegentropySession(ctx):
		for _, id := range ids { // as any relay, which has an index of them
			if e := r.byID[id]; e != nil && !slices.Contains(list, e) {
				list = append(list, e)
			}
		}
		slices.SortFunc(list, order)
		return list
	}
	all := slices.DeleteFunc(slices.Clone(r.events), func(e *gonostr.Event) bool { return r.lies.Hides != nil && r.lies.Hides(e) })
	for _, e := range r.lies.Claims {
		if _, known := r.byID[e.ID]; !known {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, order)
	return all
}

func (r *Relay) reject(_ context.Context, e *gonostr.Event) (reject bool, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.policy != nil {
		reason = r.policy(e)
	}
	return reason != "", reason
}

// guard refuses direct messages to those who have not said who they are.
func guard(ctx context.Context, f gonostr.Filter) (reject bool, reason string) {
	return slices.Contains(f.Kinds, gonostr.KindEncryptedDirectMessage) && khatru.GetAuthed(ctx) == "", "auth-required: direct messages"
}

func (r *Relay) count(ctx context.Context, f gonostr.Filter) (n int64, err error) {
	found, err := r.query(ctx, f)
	if err != nil {
		return 0, err
	}
	for range found {
		n++
	}
	return n, nil
}

// Close ends every connection. khatru leaves one sleeping goroutine behind,
// and those of each connection end moments later.
func (r *Relay) Close() error {
	err := r.server.Close()
	if e := <-r.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	return err
}

func (r *Relay) track(c net.Conn, state http.ConnState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch state {
	case http.StateHijacked:
		r.conns[c] = true
	case http.StateClosed:
		delete(r.conns, c)
	}
}

// store keeps an event; of a replaceable one the newest version.
func (r *Relay) store(_ context.Context, e *gonostr.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.byID[e.ID]; known || r.lies.Drops != nil && r.lies.Drops(e) {
		return eventstore.ErrDupEvent
	}
	if err := r.file.write(entry{Event: e}); err != nil {
		return err
	}
	if err := r.keep(e); err != nil {
		return err
	}
	return eventstore.ErrDupEvent // OK true, and no broadcast
}

// keep is store in memory; a newer version of a replaceable event is an error.
func (r *Relay) keep(e *gonostr.Event) error {
	i := -1
	if gonostr.IsReplaceableKind(e.Kind) || gonostr.IsAddressableKind(e.Kind) {
		i = slices.IndexFunc(r.events, func(old *gonostr.Event) bool { return replaces(e, old) })
	}
	if i >= 0 {
		if order(r.events[i], e) < 0 {
			return errors.New("replaced: a newer version is stored")
		}
		delete(r.byID, r.events[i].ID)
		r.events = slices.Delete(r.events, i, i+1)
	}
	i, _ = slices.BinarySearchFunc(r.events, e, order)
	r.events = slices.Insert(r.events, i, e)
	r.byID[e.ID] = e
	return nil
}

// Add stores an event, as if a client had published it.
func (r *Relay) Add(ctx context.Context, e nostr.Event) error {
	var theirs gonostr.Event
	if err := json.Unmarshal(nostr.Encode(e), &theirs); err != nil {
		return err
	}
	if err := r.store(ctx, &theirs); !errors.Is(err, eventstore.ErrDupEvent) {
		return err
	}
	return nil
}

func (r *Relay) remove(_ context.Context, e *gonostr.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.file.write(entry{Deleted: e.ID}); err != nil {
		return err
	}
	r.forget(e.ID)
	return nil
}

func (r *Relay) forget(id string) {
	delete(r.byID, id)
	r.events = slices.DeleteFunc(r.events, func(old *gonostr.Event) bool { return old.ID == id })
}

func (r *Relay) query(ctx context.Context, f gonostr.Filter) (chan *gonostr.Event, error) {
	r.mu.Lock()
	var found []*gonostr.Event
	for _, e := range r.shown(ctx, f.IDs) {
		if f.Limit > 0 && len(found) == f.Limit {
			break
		}
		if f.Matches(e) {
			found = append(found, e)
		}
	}
	r.mu.Unlock()
	out := make(chan *gonostr.Event)
	go func() {
		defer close(out)
		for _, e := range found {
			select {
			case out <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func order(a, b *gonostr.Event) int {
	if c := cmp.Compare(b.CreatedAt, a.CreatedAt); c != 0 {
		return c
	}
	return cmp.Compare(a.ID, b.ID)
}

// replaces reports whether two events are versions of one (NIP-01).
func replaces(a, b *gonostr.Event) bool {
	switch {
	case a.Kind != b.Kind || a.PubKey != b.PubKey:
		return false
	case gonostr.IsAddressableKind(a.Kind):
		return a.Tags.GetD() == b.Tags.GetD()
	}
	return gonostr.IsReplaceableKind(a.Kind)
}
