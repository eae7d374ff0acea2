package homerelay

import (
	"context"
	"maps"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/deflate"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// ServeHTTP serves a websocket until it ends, and the NIP-11 document to
// whoever asks for it.
func (r *Relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch upgrades := strings.EqualFold(req.Header.Get("Upgrade"), "websocket"); {
	case !upgrades && r.pages != nil && req.URL.Path != "/":
		r.servePage(w, req)
		return
	case !upgrades:
		r.serveInfo(w, req)
		return
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	h, err := r.ledger.enter(r.partyOf(req), cancel)
	if err != nil {
		cancel(nil)
		w.Header().Set("Retry-After", "60")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	end := func() {
		r.ledger.leave(h)
		cancel(nil)
	}
	// A gateway completes what we leave out: nothing but what is private is kept from strangers.
	w.Header().Set("Relaymesh-Auth", "private")
	meter := &deflate.Meter{}
	ws, err := websocket.Accept(meter.Measure(w), req, &websocket.AcceptOptions{
		// Nostr clients are web pages of any origin. There is no cookie or
		// other ambient authority here that a page could borrow.
		InsecureSkipVerify: true,
		// Neither side goes on from one message to the next, so that a
		// connection holds no memory for it.
		CompressionMode:      websocket.CompressionNoContextTakeover,
		CompressionThreshold: compressed,
	})
	if err != nil {
		end()
		return // Accept has answered
	}
	c := newClient(ctx, cancel, r, h, ws, strings.Clone(req.Host))
	c.meter, c.inflating, c.hop = meter, deflate.Memory(w), req.Header.Get(hopHeader) != ""
	// The HTTP server keeps a request, its buffers and a large stack for as long as
	// it is handled; a connection shall not.
	served := r.clients.serving.Go(func() {
		defer end()
		defer r.recovered()
		c.serve()
	})
	if !served { // the relay has ended meanwhile
		end()
		_ = ws.CloseNow() // it is closed in any case
	}
}

// recovered logs a panic, which ends a connection and nothing else.
func (r *Relay) recovered() {
	if p := recover(); p != nil {
		r.log.Error("home relay: a connection has failed", "panic", p, "stack", string(debug.Stack()))
	}
}

// serveInfo answers with the NIP-11 document, which pages of any origin may
// read.
func (r *Relay) serveInfo(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Headers", "*")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
	switch {
	case req.Method == http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		http.Error(w, "this is a Nostr relay: use a websocket", http.StatusMethodNotAllowed)
	case strings.Contains(strings.ToLower(req.Header.Get("Accept")), "application/nostr+json"):
		h.Set("Content-Type", "application/nostr+json")
		_, _ = w.Write(r.info()) // a client that left needs no document
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("This is a Nostr relay. Connect to it with a Nostr client at " + r.url + "\n"))
	}
}

// infoOf returns what writes the NIP-11 document.
func infoOf(c Config) func() []byte {
	fixed := newInfo(c)
	if c.Info == nil {
		text := nostr.Encode(fixed)
		return func() []byte { return text }
	}
	return func() []byte {
		doc := maps.Clone(fixed)
		maps.Copy(doc, c.Info())
		return nostr.Encode(doc)
	}
}

// newInfo returns the NIP-11 document but for Config.Info.
func newInfo(c Config) map[string]any {
	doc := map[string]any{
		"name":           c.Name,
		"description":    c.Description,
		"software":       "https://github.com/relaymesh/relaymesh",
		"supported_nips": []int{1, 9, 11, 40, 42, 45, 62, 70, 77},
		// As strfry says it: the version of the negentropy protocol.
		"negentropy": 1,
		"limitation": map[string]any{
			"max_message_length":     maxMessage,
			"max_subscriptions":      maxSubscriptions,
			"max_filters":            maxFilters,
			"max_filter_values":      maxValues,
			"max_subid_length":       maxIDLength,
			"max_event_tags":         nostr.MaxTags,
			"created_at_upper_limit": nostr.MaxFuture,
			"auth_required":          false,
			"payment_required":       false,
			"restricted_writes":      false,
			// No others have these yet; each is of an address (IPv4, or IPv6 /64).
			"max_connections_per_address":         shares[connections].party,
			"max_subscriptions_per_address":       shares[subscriptions].party,
			"max_negentropy_sessions":             maxSessions,
			"max_negentropy_sessions_per_address": shares[sessions].party,
			"max_negentropy_records":              maxRecords,
		},
	}
	if c.Name == "" {
		doc["name"] = "relaymesh home relay"
	}
	for key, value := range map[string]string{"pubkey": c.PubKey, "contact": c.Contact} {
		if value != "" {
			doc[key] = value
		}
	}
	return doc
}
