package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// world is what a fetcher finds elsewhere.
type world struct {
	mu    sync.Mutex
	by    map[string]nostr.Event // by id or address
	asked map[string]int
	gate  chan struct{} // if not nil, answers wait for it
	err   error
}

func newWorld(list ...nostr.Event) *world {
	w := &world{by: map[string]nostr.Event{}, asked: map[string]int{}}
	for _, e := range list {
		w.by[e.ID] = e
		if a, ok := nostr.AddressOf(&e); ok {
			w.by[a.String()] = e
		}
	}
	return w
}

func (w *world) fetch(ctx context.Context, r events.MissingNoteRequest) (events.MissingNoteResponse, error) {
	w.mu.Lock()
	key := r.EventID + r.Address
	w.asked[key]++
	e, found := w.by[key]
	gate, err := w.gate, w.err
	w.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return events.MissingNoteResponse{}, ctx.Err()
		}
	}
	if err != nil {
		return events.MissingNoteResponse{}, err
	}
	if !found {
		return events.MissingNoteResponse{Why: "none has it"}, nil
	}
	return events.MissingNoteResponse{Found: true, Event: &e}, nil
}

func (w *world) times(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[key]
}

// empty is a relay that says EOSE to every REQ, and CLOSED to one of the id
// "closed" behind it; of the id "refused" only CLOSED.
func empty(t testing.TB) string {
	return scripted(t, func(p *peer, _ *http.Request) {
		for {
			_, data, err := p.ws.Read(p.ctx)
			if err != nil {
				return
			}
			l, id, _ := split(data)
			if l != labelReq {
				continue
			}
			if string(id) != `"refused"` {
				p.send(`["EOSE",` + string(id) + `]`)
			}
			if string(id) == `"closed"` || string(id) == `"refused"` {
				p.send(`["CLOSED",` + string(id) + `,"done"]`)
			}
		}
	})
}

func eventText(id string, e nostr.Event) string { return string(eventMessage([]byte(quote(id)), &e)) }

// What a REQ names and the relay lacks comes before EOSE: by id, by address, as a
// list or a profile, under whatever id the client gave the REQ, and on either kind
// of connection.
func TestCompletionBeforeEOSE(t *testing.T) {
	t.Parallel()
	note := signed(t, nostr.Event{Kind: 1, Content: "elsewhere " + strings.Repeat("long ", 100)})
	article := signed(t, nostr.Event{Kind: 30023, Tags: []nostr.Tag{{"d", "a:b"}}})
	profile := signed(t, nostr.Event{Kind: 0, Content: "{}"})
	relays := signed(t, nostr.Event{Kind: 10002})
	w := newWorld(note, article, profile, relays)
	g := start(t, khatru(t).URL(), Config{Fetch: w.fetch})
	ids := []string{"x", `a"b\`, strings.Repeat("ü", 64), "<&>", ""}
	for name, mode := range modes {
		c := dial(t, g.URL(), mode, nil)
		for _, id := range ids {
			g.completer.known.Age()
			g.completer.known.Age()
			c.send(`["REQ",` + quote(id) + `,{"ids":["` + note.ID + `"]}]`)
			c.expect(eventText(id, note), `["EOSE",`+quote(id)+`]`)
		}
		g.completer.known.Age()
		g.completer.known.Age()
		// Relays answer a REQ in a binary message, too.
		if err := c.ws.Write(c.ctx, websocket.MessageBinary, []byte(`["REQ","b",{"ids":["`+note.ID+`"]}]`)); err != nil {
			t.Fatal(err)
		}
		c.expect(eventText("b", note), `["EOSE","b"]`)
		for _, test := range []struct {
			filter string
			want   nostr.Event
		}{
			{`{"kinds":[30023],"authors":["` + article.PubKey + `"],"#d":["a:b"],"limit":1}`, article},
			{`{"kinds":[0],"authors":["` + profile.PubKey + `"]}`, profile},
			{`{"\u0069ds":["` + note.ID + `"]}`, note},
			{`{"kinds":[1,10002],"authors":["` + relays.PubKey + `"],"limit":10}`, relays},
		} {
			g.completer.known.Age()
			g.completer.known.Age()
			c.send(`["REQ","y",` + test.filter + `]`)
			if id, _ := nextEvent(c); id == "" {
				t.Errorf("%s: %s: nothing was found", name, test.filter)
				continue
			}
			c.expect(`["EOSE","y"]`)
		}
	}
}

// nextEvent returns the id of the next message's event, "" if it is none.
func nextEvent(c *peer) (id, text string) {
	text = c.read()
	_, _, rest := split([]byte(text))
	id, _ = nostr.PeekID(rest)
	return id, text
}

// What does not answer the REQ, is private, is denied or is not signed is not sent;
// a relay that wants to know who asks, a connection of another relaymesh, a full
// limit, and a CLOSED: for these nothing is asked.
func TestNothingElseIsSent(t *testing.T) {
	t.Parallel()
	note := signed(t, nostr.Event{Kind: 1})
	forged := signed(t, nostr.Event{Kind: 1, Content: "forged"})
	forged.Sig = note.Sig
	denied := signed(t, nostr.Event{Kind: 1, Content: "denied"})
	other := newWorld(note, forged, denied)
	var private []string
	for _, kind := range []int{4, 13, 14, 15, 1059, 1060, 21059} {
		e := signed(t, nostr.Event{Kind: kind})
		other.by[e.ID] = e
		private = append(private, `{"ids":["`+e.ID+`"]}`)
	}
	wrong := strings.Repeat("a", 64)
	other.by[wrong] = note
	var lists deny.Lists
	lists.Set(deny.NewList(deny.Entry{What: deny.ID, Value: denied.ID}))
	g := start(t, empty(t), Config{Fetch: other.fetch, Denied: &lists})
	c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
	for _, filter := range append(
		private, `{"ids":["`+note.ID+`"],"kinds":[7]}`, `{"ids":["`+note.ID+`"],"authors":["`+forged.PubKey+`"]}`,
		`{"ids":["`+note.ID+`"],"since":1700000001}`, `{"ids":["`+note.ID+`"],"until":1699999999}`, `{"ids":["`+note.ID+`"],"#t":["x"]}`,
		`{"ids":["`+forged.ID+`"]}`, `{"ids":["`+denied.ID+`"]}`, `{"ids":["`+wrong+`"]}`,
	) {
		c.send(`["REQ","x",` + filter + `]`)
		c.expect(`["EOSE","x"]`)
	}
	unasked := signed(t, nostr.Event{Kind: 1, Content: "unasked"})
	other.by[unasked.ID] = unasked
	for _, filter := range []string{
		`{"ids":["` + unasked.ID + `"],"limit":0}`, `{"ids":["` + unasked.ID[:60] + `"]}`,
		`{"kinds":[0],"authors":["` + unasked.PubKey + `"],"since":5}`,
		`{"ids":["` + unasked.ID + `"],"kinds":[]}`, `{"search":"x","ids":["` + unasked.ID + `"]}`,
		`{"kinds":[1],"authors":["` + unasked.PubKey + `"]}`,
	} {
		c.send(`["REQ","x",` + filter + `]`)
		c.expect(`["EOSE","x"]`)
	}
	c.send(`["REQ","refused",{"ids":["` + unasked.ID + `"]}]`)
	c.expect(`["CLOSED","refused","done"]`)
	hop := dial(t, g.URL(), websocket.CompressionDisabled, http.Header{"Relaymesh-Hop": {"1"}})
	hop.send(`["REQ","x",{"ids":["` + unasked.ID + `"]}]`)
	hop.expect(`["EOSE","x"]`)
	if n := other.times(unasked.ID) + other.times("0:"+unasked.PubKey+":"); n != 0 {
		t.Errorf("it was asked for %d times", n)
	}
	c.send(`["REQ","closed",{"ids":["` + unasked.ID + `"]}]`)
	c.expect(eventText("closed", unasked), `["EOSE","closed"]`, `["CLOSED","closed","done"]`)
}

// A relay that wants AUTH is not completed before it has had one.
func TestNothingBeforeAuth(t *testing.T) {
	t.Parallel()
	note := signed(t, nostr.Event{Kind: 1})
	auth := signed(t, nostr.Event{Kind: 22242})
	relay := scripted(t, func(p *peer, _ *http.Request) {
		p.send(`["AUTH","challenge"]`)
		p.read()
		p.send(`["EOSE","x"]`)
		p.read()
		p.send(`["OK","` + auth.ID + `",true,""]`)
		p.read()
		p.send(`["EOSE","x"]`)
		p.ended()
	})
	w := newWorld(note)
	c := dial(t, start(t, relay, Config{Fetch: w.fetch}).URL(), websocket.CompressionDisabled, nil)
	c.expect(`["AUTH","challenge"]`)
	req := `["REQ","x",{"ids":["` + note.ID + `"]}]`
	c.send(req)
	c.expect(`["EOSE","x"]`)
	c.send(`["AUTH",` + string(nostr.Encode(auth)) + `]`)
	c.expect(`["OK","` + auth.ID + `",true,""]`)
	c.send(req)
	c.expect(eventText("x", note), `["EOSE","x"]`)
}

// One that keeps nothing but private events from strangers is, since none is sent.
func TestAChallengeForPrivateEventsAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "relay.db")
	home, err := homerelay.Start(t.Context(), homerelay.Config{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	message, notes := signed(t, nostr.Event{Kind: 1059}), []nostr.Event{signed(t, nostr.Event{Kind: 1}), signed(t, nostr.Event{Kind: 1})}
	w := newWorld(message, notes[0], notes[1])
	c := dial(t, start(t, home.URL(), Config{Fetch: w.fetch}).URL(), websocket.CompressionDisabled, nil)
	for _, note := range notes {
		c.send(`["REQ","x",{"ids":["` + note.ID + `","` + message.ID + `"]}]`)
		text := c.read()
		if strings.HasPrefix(text, `["AUTH"`) {
			text = c.read()
		}
		if want := eventText("x", note); text != want {
			t.Errorf("got %s, want %s", text, want)
		}
		c.expect(`["EOSE","x"]`)
	}
}

// What the relay sends live, since it was just written there, does not come twice;
// neither does what the relay had.
func TestSentOnce(t *testing.T) {
	t.Parallel()
	found, had := signed(t, nostr.Event{Kind: 1, Content: "found"}), signed(t, nostr.Event{Kind: 1, Content: "had"})
	more := make(chan struct{})
	relay := scripted(t, func(p *peer, _ *http.Request) {
		p.read()
		p.send(eventText("x", had))
		p.send(`["EOSE","x"]`)
		<-more
		p.send(eventText("x", found))
		p.send(`["NOTICE","end"]`)
		p.ended()
	})
	w := newWorld(found, had)
	c := dial(t, start(t, relay, Config{Fetch: w.fetch}).URL(), websocket.CompressionDisabled, nil)
	c.send(`["REQ","x",{"ids":["` + found.ID + `","` + had.ID + `"]}]`)
	c.expect(eventText("x", had), eventText("x", found), `["EOSE","x"]`)
	close(more)
	c.expect(`["NOTICE","end"]`)
	if n := w.times(had.ID); n != 0 {
		t.Errorf("what the relay had was asked for %d times", n)
	}
}

// Ids that nobody has cost one wait, and many clients that want the same share one
// lookup. A CLOSE, or the id used again, ends the wait.
func TestWaits(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.gate = make(chan struct{})
	g := start(t, empty(t), Config{Fetch: w.fetch, Wait: 300 * time.Millisecond})
	id := strings.Repeat("b", 64)
	req := `["REQ","x",{"ids":["` + id + `"]}]`
	begun := time.Now()
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
			c.send(req)
			c.expect(`["EOSE","x"]`)
		})
	}
	all.Wait()
	if took := time.Since(begun); took < g.completer.wait || w.times(id) != 1 {
		t.Errorf("ten clients waited %s for %d lookups", took, w.times(id))
	}
	close(w.gate)
	g.completer.running.Wait()
	c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
	other := strings.Repeat("c", 64)
	w.mu.Lock()
	w.gate = make(chan struct{})
	w.mu.Unlock()
	c.send(`["REQ","x",{"ids":["` + other + `"]}]`)
	c.send(`["REQ","x",{"kinds":[1]}]`)
	c.expect(`["EOSE","x"]`)
	c.send(`["CLOSE","x"]`)
}

// Where the service is away nothing fails, and no client waits after the first has
// noticed.
func TestServiceAway(t *testing.T) {
	t.Parallel()
	note := signed(t, nostr.Event{Kind: 1})
	w := newWorld(note)
	w.err = errors.New("nobody offers it")
	g := start(t, empty(t), Config{Fetch: w.fetch, Wait: time.Minute})
	c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
	for i := range 100 {
		c.send(fmt.Sprintf(`["REQ","x",{"ids":["%064x"]}]`, i))
		c.expect(`["EOSE","x"]`)
	}
	w.mu.Lock()
	w.err = nil
	w.mu.Unlock()
	g.completer.mu.Lock()
	g.completer.retryAt = time.Now()
	g.completer.mu.Unlock()
	c.send(`["REQ","x",{"ids":["` + note.ID + `"]}]`) // finds out, behind EOSE
	if got := []string{c.read(), c.read()}; !slices.Contains(got, `["EOSE","x"]`) || !slices.Contains(got, eventText("x", note)) {
		t.Errorf("got %q", got)
	}
	if !g.completer.ready() {
		t.Error("the service is not noticed to be back")
	}
}

// Five hundred profiles are answered behind EOSE, and one address has a bounded
// number of lookups.
func TestManyAreAnsweredBehind(t *testing.T) {
	t.Parallel()
	const many = 500
	profile := signed(t, nostr.Event{Kind: 0, Content: "{}"})
	w := newWorld(profile)
	w.gate = make(chan struct{})
	var most, running atomic.Int64
	g := start(t, empty(t), Config{Fetch: func(ctx context.Context, r events.MissingNoteRequest) (events.MissingNoteResponse, error) {
		now := running.Add(1)
		defer running.Add(-1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		return w.fetch(ctx, r)
	}})
	authors := []string{quote(profile.PubKey)}
	for i := range many - 1 {
		authors = append(authors, fmt.Sprintf(`"%064x"`, i))
	}
	c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
	c.send(`["REQ","x",{"kinds":[0],"authors":[` + strings.Join(authors, ",") + `]}]`)
	c.expect(`["EOSE","x"]`) // nothing was answered yet
	close(w.gate)
	c.expect(eventText("x", profile))
	for range 20 {
		c.send(`["REQ","x",{"kinds":[0],"authors":[` + strings.Join(authors, ",") + `]}]`)
		c.read()
	}
	if most.Load() > lookupsOfAddress {
		t.Errorf("%d lookups of one address at a time", most.Load())
	}
}

// A client that leaves all its subscriptions open is completed in each: of those
// that were answered little is remembered, and no more than of some.
func TestAnsweredSubscriptionsAreForgotten(t *testing.T) {
	t.Parallel()
	note := signed(t, nostr.Event{Kind: 1})
	w := newWorld(note)
	g := start(t, empty(t), Config{Fetch: w.fetch})
	c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
	for i := range 2 * maxWatched {
		g.completer.known.Age()
		g.completer.known.Age()
		id := strconv.Itoa(i)
		c.send(`["REQ","` + id + `",{"ids":["` + note.ID + `"]}]`)
		c.expect(eventText(id, note), `["EOSE","`+id+`"]`)
	}
}
