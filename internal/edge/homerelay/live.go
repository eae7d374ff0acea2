package homerelay

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/fiatjaf/eventstore"
	"github.com/fiatjaf/khatru"
	"github.com/nbd-wtf/go-nostr"
)

// feedLength is how many events a connection may lag behind before it is cut.
const feedLength = 4096

// live delivers stored events to open subscriptions in khatru's place. khatru
// v0.19.1 walks its list of listeners without the lock under which it changes
// it, adds a listener after the stored events were read, and writes to a slow
// client while the publisher waits: an event can be lost between two REQs, or
// hold up everyone. Here a subscription counts from before its stored events
// are read, and a client that does not keep up is disconnected, so that it
// knows that it missed something.
//
// Ephemeral events still take khatru's way.
type live struct {
	running sync.WaitGroup
	mu      sync.Mutex
	feeds   map[*khatru.WebSocket]*feed // nil once closed
}

// feed is one connection. live.mu guards subs.
type feed struct {
	ws    *khatru.WebSocket
	subs  map[string]*liveSub
	queue chan update
}

// liveSub is a REQ; its context ends with its CLOSE or its connection.
type liveSub struct {
	ctx     context.Context
	filters nostr.Filters
}

type update struct {
	sub   *liveSub
	id    string
	event *nostr.Event
}

func newLive() *live { return &live{feeds: map[*khatru.WebSocket]*feed{}} }

// subscribe is khatru's OverwriteFilter, which is called with every filter of a
// REQ before anything else happens to it.
func (l *live) subscribe(ctx context.Context, f *nostr.Filter) {
	ws := khatru.GetConnection(ctx)
	if ws == nil || eventstore.IsNegentropySession(ctx) {
		return
	}
	id := khatru.GetSubscriptionID(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.feeds == nil || ctx.Err() != nil || ws.Context.Err() != nil {
		return
	}
	conn := l.feeds[ws]
	if conn == nil {
		conn = &feed{ws: ws, subs: map[string]*liveSub{}, queue: make(chan update, feedLength)}
		l.feeds[ws] = conn
		l.running.Go(conn.run)
		context.AfterFunc(ws.Context, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.feeds, ws)
		})
	}
	if sub := conn.subs[id]; sub != nil && sub.ctx == ctx {
		sub.filters = append(sub.filters, *f) // another filter of the same REQ
		return
	}
	sub := &liveSub{ctx: ctx, filters: nostr.Filters{*f}}
	conn.subs[id] = sub // a REQ with an id in use replaces the other (NIP-01)
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if conn.subs[id] == sub {
			delete(conn.subs, id)
		}
	})
}

// close waits for the feeds, whose connections must have been closed.
func (l *live) close() {
	l.mu.Lock()
	l.feeds = nil
	l.mu.Unlock()
	l.running.Wait()
}

// publish queues an event for every subscription that it matches.
func (l *live) publish(e *nostr.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.feeds {
		for id, sub := range conn.subs {
			if !slices.ContainsFunc(sub.filters, func(f nostr.Filter) bool { return f.Matches(e) }) {
				continue
			}
			select {
			case conn.queue <- update{sub, id, e}:
			default:
				cut(conn.ws.Request)
			}
		}
	}
}

// run writes what is queued until the connection ends.
func (f *feed) run() {
	for {
		select {
		case <-f.ws.Context.Done():
			return
		case u := <-f.queue:
			if u.sub.ctx.Err() == nil {
				// A failed write ends the connection, and so this.
				_ = f.ws.WriteJSON(nostr.EventEnvelope{SubscriptionID: &u.id, Event: *u.event})
			}
		}
	}
}

// connKey is where the context of a request has its connection.
type connKey struct{}

// cut ends the connection that a request came by.
func cut(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		_ = c.Close()
	}
}
