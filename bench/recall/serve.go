package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// open gives each place an address of its own on loopback, and makes the URLs of the dead.
func (w *world) open() error {
	for i, p := range w.places {
		url, err := serve(fmt.Sprintf("127.%d.%d.1:0", 1+i/250, i%250), p)
		if err != nil {
			return err
		}
		p.url = url
	}
	page, err := serve("127.200.0.1:0", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(rw, "<html>this domain is for sale</html>")
	}))
	if err != nil {
		return err
	}
	silent, err := serve("127.200.0.2:0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		time.Sleep(silence)
		panic(http.ErrAbortHandler)
	}))
	if err != nil {
		return err
	}
	for i := range w.size.dead {
		var url string
		switch i % 10 {
		case 0, 1, 2, 3:
			url = fmt.Sprintf("ws://127.%d.%d.1:9", 210+i/250, i%250) // refuses
		case 4, 5, 6:
			url = fmt.Sprintf("wss://gone%d.invalid", i) // has no name any more
		case 7, 8:
			url = fmt.Sprintf("%s/user%d", page, i) // a page, one for each user
		default:
			url = fmt.Sprintf("%s/%d", silent, i)
		}
		w.dead = append(w.dead, url)
	}
	return nil
}

// unused is after how many driven seconds a place ends a connection that nobody uses.
const unused = 120

// silence is how long a silent relay is waited for here, where a real one costs the ten
// seconds of a dial.
const silence = 30 * time.Millisecond

func serve(at string, h http.Handler) (url string, err error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", at)
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: quiet}
	if p, is := h.(*place); is {
		listener = counted{listener, p}
	}
	go func() { _ = server.Serve(listener) }() // ends with the process
	return "ws://" + listener.Addr().String(), nil
}

// counted counts what passes a place's connections.
type counted struct {
	net.Listener
	p *place
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: c, p: l.p, out: bufio.NewWriterSize(c, 64<<10)}, nil
}

// countedConn gathers what is written until something is read, or for a millisecond: a relay's answer is many
// small messages, of which each would be a system call on both sides.
type countedConn struct {
	net.Conn
	p *place

	mu      sync.Mutex // guards out and waiting
	out     *bufio.Writer
	waiting bool // a timer flushes
}

func (c *countedConn) Read(b []byte) (int, error) {
	c.flush()
	n, err := c.Conn.Read(b)
	c.p.wire.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.out.Write(b)
	c.p.wire.Add(int64(n))
	if !c.waiting {
		c.waiting = true
		time.AfterFunc(time.Millisecond, c.flush)
	}
	return n, err
}

func (c *countedConn) Close() error {
	c.flush()
	return c.Conn.Close()
}

// flush writes what was gathered; an error is one of the next write as well.
func (c *countedConn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
	_ = c.out.Flush()
}

// ServeHTTP answers as a relay.
func (p *place) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		p.info(rw)
		return
	}
	mode := websocket.CompressionDisabled
	if p.deflate {
		mode = websocket.CompressionContextTakeover
	}
	conn, err := websocket.Accept(rw, r, &websocket.AcceptOptions{CompressionMode: mode, InsecureSkipVerify: true})
	if err != nil {
		return
	}
	conn.SetReadLimit(4 << 20)
	c := &client{place: p, conn: conn, ctx: r.Context(), sessions: map[string]*negSession{}}
	p.clients.Store(c, nil)
	defer c.end()
	for {
		before := p.wire.Load()
		_, data, err := conn.Read(c.ctx)
		if err != nil {
			return
		}
		c.heard.Store(p.w.clock.Load())
		c.took = p.wire.Load() - before
		var parts []json.RawMessage
		if json.Unmarshal(data, &parts) != nil || len(parts) < 2 {
			return
		}
		if err := c.handle(parts); err != nil {
			return
		}
	}
}

func (p *place) info(rw http.ResponseWriter) {
	nips := []int{1, 11}
	if p.nip77 {
		nips = append(nips, 77)
	}
	rw.Header().Set("Content-Type", "application/nostr+json")
	_ = json.NewEncoder(rw).Encode(map[string]any{"name": "a relay", "supported_nips": nips, "limitation": map[string]any{
		"auth_required": p.auth, "restricted_writes": p.pays, "max_limit": p.page,
	}})
}

// client is a connection to a place.
type client struct {
	*place
	conn     *websocket.Conn
	ctx      context.Context //nolint:containedctx // that of the connection
	sessions map[string]*negSession
	took     int64        // bytes on the wire of the message that is handled
	heard    atomic.Int64 // driven time of the last message
	listens  atomic.Int32 // how many subscriptions are open
	mu       sync.Mutex   // of sending
}

// negSession is a session that is open.
type negSession struct {
	*negentropy.Reconciler
	authors, answers int
	wire             int64 // its bytes
}

// subscription is a REQ that is open.
type subscription struct {
	*client
	id      string
	filters []nostr.Filter
}

func (c *client) end() {
	c.clients.Delete(c)
	c.unsubscribe(func(s *subscription) bool { return s.client == c })
	_ = c.conn.CloseNow()
}

// unsubscribe ends subscriptions.
func (c *client) unsubscribe(which func(*subscription) bool) {
	c.subscriptions.Range(func(key, _ any) bool {
		if s := key.(*subscription); which(s) { //nolint:forcetypeassert // our own
			c.subscriptions.Delete(s)
			s.listens.Add(-1)
		}
		return true
	})
}

func (c *client) send(message ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn.Write(c.ctx, websocket.MessageText, nostr.Encode(message))
}

func (c *client) handle(parts []json.RawMessage) error {
	var verb, id string
	_ = json.Unmarshal(parts[0], &verb)
	_ = json.Unmarshal(parts[1], &id)
	switch verb {
	case "REQ":
		return c.req(id, parts[2:])
	case "CLOSE":
		c.unsubscribe(func(s *subscription) bool { return s.client == c && s.id == id })
		return nil
	case "EVENT":
		return c.event(parts[1])
	case "NEG-CLOSE":
		if s := c.sessions[id]; s != nil && s.answers == 1 {
			c.asked.rested(s.authors, s.wire+c.took)
		}
		delete(c.sessions, id)
		return nil
	case "NEG-OPEN", "NEG-MSG":
		if c.nip77 && len(parts) > 2 {
			return c.neg(verb, id, parts)
		}
	}
	return c.send("NOTICE", "error: unknown command "+verb)
}

// refuses returns why a filter is not answered.
func (c *client) refuses(f *nostr.Filter) string {
	switch {
	case c.auth:
		return "auth-required: we show nothing to strangers"
	case c.most > 0 && len(f.Authors) > c.most:
		return "error: too many authors"
	}
	return ""
}

func (c *client) req(id string, raw []json.RawMessage) error {
	s := &subscription{client: c, id: id}
	for _, r := range raw {
		var f nostr.Filter
		if err := json.Unmarshal(r, &f); err != nil {
			return c.send("CLOSED", id, "error: bad filter")
		}
		if why := c.refuses(&f); why != "" {
			return c.send("CLOSED", id, why)
		}
		s.filters = append(s.filters, f)
	}
	c.subscriptions.Store(s, nil)
	c.listens.Add(1)
	for _, f := range s.filters {
		if strings.Contains(string(raw[0]), `"limit":0`) {
			continue
		}
		limit := c.page
		if f.Limit > 0 {
			limit = min(limit, f.Limit)
		}
		found := c.match(&f, limit)
		if len(f.Authors) > 0 && len(f.IDs) == 0 {
			c.asked.add(c.w.clock.Load(), 1)
		}
		for _, i := range found {
			if err := c.send("EVENT", id, c.w.event(i)); err != nil {
				return err
			}
		}
		if c.mine != nil && len(f.Authors) > 1 && f.Until == 0 { // one that is cut is asked for again
			c.mine.read(&f, c.w.clock.Load())
		}
	}
	return c.send("EOSE", id)
}

func (c *client) event(raw json.RawMessage) error {
	e, err := nostr.ParseEvent(raw)
	if err != nil || c.mine == nil {
		return c.send("OK", e.ID, false, "blocked: not here")
	}
	switch known, fresh := c.take(e.ID); {
	case !known:
		return c.send("OK", e.ID, false, "invalid: of no world")
	case !fresh:
		return c.send("OK", e.ID, true, "duplicate: have it")
	}
	return c.send("OK", e.ID, true, "")
}

func (c *client) neg(verb, id string, parts []json.RawMessage) error {
	var text string
	_ = json.Unmarshal(parts[len(parts)-1], &text)
	if verb == "NEG-OPEN" {
		var f nostr.Filter
		if err := json.Unmarshal(parts[2], &f); err != nil {
			return c.send("NEG-ERR", id, "error: bad filter")
		}
		if why := c.refuses(&f); why != "" {
			return c.send("NEG-ERR", id, why)
		}
		c.asked.add(c.w.clock.Load(), pagesOfASession)
		set := negentropy.NewReconciler(c.set(&f), negentropy.Options{FrameLimit: 128 << 10})
		c.sessions[id] = &negSession{Reconciler: set, authors: len(f.Authors)}
	}
	message, err := hex.DecodeString(text)
	session := c.sessions[id]
	if err != nil || session == nil {
		return c.send("NEG-ERR", id, "closed: no such session")
	}
	answer, err := session.Respond(message)
	if err != nil {
		return c.send("NEG-ERR", id, "error: "+err.Error())
	}
	before := c.wire.Load()
	err = c.send("NEG-MSG", id, hex.EncodeToString(answer))
	session.answers++
	session.wire += c.took + c.wire.Load() - before
	return err
}

// pass lets time pass up to now, and sends what is written meanwhile to those who
// listen for it, and returns the notes that were sent.
func (w *world) pass(now int64) (sent []int32) {
	first, last := w.after(w.clock.Load()), w.after(now)
	w.clock.Store(now)
	for _, p := range w.places {
		p.clients.Range(func(key, _ any) bool {
			// As relaymesh ends it itself after so long, by the real clock.
			if c := key.(*client); c.listens.Load() == 0 && c.heard.Load() < now-unused { //nolint:forcetypeassert // our own
				_ = c.conn.CloseNow()
			}
			return true
		})
		p.subscriptions.Range(func(key, _ any) bool {
			s := key.(*subscription) //nolint:forcetypeassert // our own
			for i := first; i < last; i++ {
				if p.has(int32(i)) && s.wants(&w.notes[i]) { //nolint:gosec // few
					sent = append(sent, int32(i))                //nolint:gosec // few
					_ = s.send("EVENT", s.id, w.event(int32(i))) //nolint:gosec // few
				}
			}
			return true
		})
	}
	return sent
}

func (s *subscription) wants(n *note) bool {
	for _, f := range s.filters {
		if s.takes(&f)(n) && n.at >= f.Since {
			return true
		}
	}
	return false
}
