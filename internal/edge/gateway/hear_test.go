package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// ear collects what is heard.
type ear struct {
	mu  sync.Mutex
	ids []string
}

func (e *ear) hear(event []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id, _ := nostr.PeekID(event)
	e.ids = append(e.ids, id)
}

func (e *ear) heard() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.ids)
}

// Each event that the relay accepted is heard once, whatever its date, and none
// that it refused or has not answered.
func TestHearsWhatWasAccepted(t *testing.T) {
	t.Parallel()
	relay := scripted(t, func(p *peer, _ *http.Request) {
		for {
			_, data, err := p.ws.Read(p.ctx)
			if err != nil {
				return
			}
			_, _, rest := split(data)
			id, _ := nostr.PeekID(rest)
			switch {
			case strings.Contains(string(data), "refused"):
				p.send(`["OK","` + id + `",false,"blocked: no"]`)
			case strings.Contains(string(data), "silent"):
			case strings.Contains(string(data), "loud"):
				p.send(`["OK","` + strings.ToUpper(id) + `","true",""]`)
			default:
				p.send(`[ "OK" , "` + id + `" , true , "" ]`)
			}
		}
	})
	var e ear
	g := start(t, relay, Config{Hear: e.hear})
	packed := signed(t, nostr.Event{Kind: 1, Content: "in a binary message"})
	old := signed(t, nostr.Event{Kind: 1, CreatedAt: 1, Content: "old"})
	future := signed(t, nostr.Event{Kind: 1, CreatedAt: time.Now().Unix() + 1e6, Content: strings.Repeat("long ", 2000)})
	refused := signed(t, nostr.Event{Kind: 1, Content: "refused"})
	silent := signed(t, nostr.Event{Kind: 1, Content: "silent"})
	loud := signed(t, nostr.Event{Kind: 1, Content: "loud"})
	ephemeral := signed(t, nostr.Event{Kind: 20001})
	duplicate := signed(t, nostr.Event{Kind: 1, Content: "of an event that the relay has"})
	forged := duplicate
	forged.Sig = loud.Sig
	stranger := dial(t, g.URL(), websocket.CompressionDisabled, nil)
	stranger.send(`["EVENT",` + string(nostr.Encode(forged)) + `]`)
	stranger.read()
	for _, mode := range modes {
		c := dial(t, g.URL(), mode, nil)
		for _, event := range []nostr.Event{old, refused, silent, future, loud, ephemeral, duplicate, old} {
			c.send(" [ \"EVENT\" ,\n" + string(nostr.Encode(event)) + " ] ")
		}
		if err := c.ws.Write(c.ctx, websocket.MessageBinary, nostr.Message("EVENT", packed)); err != nil {
			t.Error(err)
		}
		for range 8 {
			c.read()
		}
		c.ws.Close(websocket.StatusNormalClosure, "")
	}
	want := []string{old.ID, future.ID, loud.ID, duplicate.ID, packed.ID}
	if got := e.heard(); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// A client that publishes faster than the relay answers waits; nothing is lost.
func TestHearsAllOfMany(t *testing.T) {
	t.Parallel()
	const many = 3 * maxUnheard
	relay := scripted(t, func(p *peer, _ *http.Request) {
		for range many {
			_, data, err := p.ws.Read(p.ctx)
			if err != nil {
				t.Error(err)
				return
			}
			_, _, rest := split(data)
			id, _ := nostr.PeekID(rest)
			p.send(`["OK","` + id + `",true,""]`)
		}
		p.ended()
	})
	var e ear
	g := start(t, relay, Config{Hear: e.hear, Verify: func(*nostr.Event) error { return nil }})
	c := dial(t, g.URL(), websocket.CompressionDisabled, nil)
	event := signed(t, nostr.Event{Kind: 1})
	go func() {
		for i := range many {
			event.Content = strconv.Itoa(i)
			event.ID = event.Hash()
			c.send(`["EVENT",` + string(nostr.Encode(event)) + `]`)
		}
	}()
	for range many {
		c.read()
	}
	if got := len(e.heard()); got != many {
		t.Errorf("heard %d of %d", got, many)
	}
}
