package homerelay

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// authenticate proves a key to the relay, by way of a request that must be refused.
func (c *rawClient) authenticate(url string, by signer) {
	c.t.Helper()
	c.send(`["REQ","who",{"kinds":[1059],"limit":1}]`)
	challenge := c.expect("AUTH")[1].(string)
	c.expect("CLOSED", "who", "auth-required: …")
	e := by.event(22242, time.Now().Unix(), "", nostr.Tag{"challenge", challenge}, nostr.Tag{"relay", url})
	c.sendEvent("AUTH", e)
	c.expect("OK", e.ID, true)
}

// got returns the ids that a REQ is answered with, sorted.
func (c *rawClient) got(filters string) []string {
	c.t.Helper()
	c.sendf(`["REQ","got",%s]`, filters)
	ids := []string{}
	for {
		m := c.next()
		switch m[0] {
		case "EVENT":
			ids = append(ids, m[2].(map[string]any)["id"].(string))
		case "AUTH": // offered
		case "EOSE":
			c.send(`["CLOSE","got"]`)
			return sorted(ids)
		default:
			c.t.Fatalf("%s is answered by %v", filters, m)
		}
	}
}

// listed returns the ids of a NEG-OPEN's set, sorted: it says to have none.
func (c *rawClient) listed(filter string) []string {
	c.t.Helper()
	ids := []string{}
	mine := negentropy.NewReconciler(negentropy.NewVector(nil), negentropy.Options{
		Need: func(id negentropy.ID) { ids = append(ids, id.String()) },
	})
	c.sendf(`["NEG-OPEN","set",%s,"%x"]`, filter, mine.Initiate())
	for {
		answer, err := hex.DecodeString(c.expect("NEG-MSG", "set")[2].(string))
		if err != nil {
			c.t.Fatal(err)
		}
		msg, done, err := mine.Reconcile(answer)
		if err != nil {
			c.t.Fatal(err)
		}
		if done {
			c.send(`["NEG-CLOSE","set"]`)
			return sorted(ids)
		}
		c.sendf(`["NEG-MSG","set","%x"]`, msg)
	}
}

// Events of kinds that are for their parties are shown to nobody else: not stored, not
// live, not counted and not in a set.
func TestPrivateEventsAreForTheirParties(t *testing.T) {
	r := startRelay(t, "")
	alice, bob, carol, wrapper := newSigner(t), newSigner(t), newSigner(t), newSigner(t)
	at := time.Now().Unix() - 100
	toBob := nostr.Tag{"p", bob.pubkey()}
	note := alice.event(1, at, "a note", toBob)
	message := alice.event(4, at+1, "?iv=", toBob)
	wrap := wrapper.event(1059, at+2, "", nostr.Tag{"p", carol.pubkey(), "wss://x"}, toBob)
	seal := alice.event(13, at+3, "")
	relays := bob.event(10050, at+4, "", nostr.Tag{"relay", "wss://x"})
	hers := carol.event(14, at+5, "", nostr.Tag{"p", alice.pubkey()})
	all := []*nostr.Event{note, message, wrap, seal, relays, hers}
	ids := func(events ...*nostr.Event) []string {
		list := []string{}
		for _, e := range events {
			list = append(list, e.ID)
		}
		return sorted(list)
	}
	live := map[string]*rawClient{"nobody": dialRaw(t, r.URL()), "bob": dialRaw(t, r.URL()), "alice": dialRaw(t, r.URL())}
	live["bob"].authenticate(r.URL(), bob)
	live["alice"].authenticate(r.URL(), alice)
	for _, c := range live {
		c.send(`["REQ","live",{"limit":0}]`)
		c.expect("EOSE", "live")
	}
	writer := dialRaw(t, r.URL())
	for _, e := range all {
		writer.sendEvent("EVENT", e)
		writer.expect("OK", e.ID, true)
	}
	sees := map[string][]*nostr.Event{
		"nobody": {note, relays}, "bob": {note, relays, message, wrap}, "alice": {note, relays, message, seal, hers},
	}
	// Sets are shared among sessions, but not with those who may see less.
	holder := dialRaw(t, r.URL())
	holder.authenticate(r.URL(), carol)
	holder.send(`["NEG-OPEN","held",{},"6100000200"]`)
	holder.expect("NEG-MSG", "held")
	for name, c := range live {
		want := ids(sees[name]...)
		heard := []string{}
		for range want {
			heard = append(heard, c.expect("EVENT", "live")[2].(map[string]any)["id"].(string))
		}
		if !slices.Equal(sorted(heard), want) {
			t.Errorf("%s heard %v, want %v", name, heard, want)
		}
		c.send(`["CLOSE","live"]`)
		named := fmt.Sprintf(`{"ids":%s}`, nostr.Encode(ids(all...)))
		for _, filter := range []string{`{}`, named, fmt.Sprintf(`{"since":%d}`, at), `{"kinds":[1,4,13,14,1059,10050]}`} {
			if got := c.got(filter); !slices.Equal(got, want) {
				t.Errorf("%s got %v for %s, want %v", name, got, filter, want)
			}
			if got := c.listed(filter); !slices.Equal(got, want) {
				t.Errorf("the set of %s for %s is %v, want %v", name, filter, got, want)
			}
			c.sendf(`["COUNT","n",%s]`, filter)
			if n := c.expect("COUNT", "n")[2].(map[string]any)["count"]; n != float64(len(want)) {
				t.Errorf("%s counted %v for %s, want %d", name, n, filter, len(want))
			}
		}
		// A limit is of what is shown, which the newest is not to all.
		c.sendf(`["REQ","newest",{"limit":1}]`)
		c.expect("EVENT", "newest")
		c.expect("EOSE", "newest")
	}
	if got, want := live["bob"].got(`{"kinds":[4,1059],"authors":["`+alice.pubkey()+`"]}`), ids(message); !slices.Equal(got, want) {
		t.Errorf("bob got %v of alice, want %v", got, want)
	}
	if got, want := live["alice"].got(`{"kinds":[4,1059],"#p":["`+bob.pubkey()+`"]}`), ids(message); !slices.Equal(got, want) {
		t.Errorf("alice got %v to bob, want %v", got, want)
	}
}

// A request for private events alone is refused until it is known who asks, under
// the id of a subscription that it ends.
func TestRequestsForPrivateEventsDemandAuth(t *testing.T) {
	for _, filters := range []string{
		`{"kinds":[4]}`, `{"kinds":[1059],"#p":["` + newSigner(t).pubkey() + `"]}`, `{"kinds":[13,14,15,1060],"limit":0}`, `{"kinds":[21059]}`,
	} {
		r := startRelay(t, "")
		c := dialRaw(t, r.URL())
		c.send(`["REQ","a",{"kinds":[1]}]`)
		c.expect("EOSE", "a")
		c.sendf(`["REQ","a",%s]`, filters)
		challenge := c.expect("AUTH")[1]
		c.expect("CLOSED", "a", "auth-required: …")
		c.sendf(`["COUNT","b",%s]`, filters)
		c.expect("AUTH", challenge)
		c.expect("CLOSED", "b", "auth-required: …")
		c.sendf(`["NEG-OPEN","c",%s,"6100000200"]`, filters)
		c.expect("AUTH", challenge)
		c.expect("NEG-ERR", "c", "auth-required: …")
		// Its subscription has ended.
		note := newSigner(t).event(1, time.Now().Unix(), "")
		c.sendEvent("EVENT", note)
		c.expect("OK", note.ID, true)
		c.sendf(`["REQ","d",{"kinds":[1]},%s]`, filters)
		c.expect("AUTH", challenge)
		c.expect("CLOSED", "d", "auth-required: …")
		c.send(`["REQ","e",{"kinds":[]},{"kinds":[4],"ids":[]}]`)
		c.expect("EOSE", "e")
	}
}

// A party that asks for a message by its id alone, or among others, is told before the
// end of the answer that it may say who it is, and nobody learns by that what is there.
func TestWhoeverMayMissAMessageIsOfferedAuth(t *testing.T) {
	r := startRelay(t, "")
	alice, bob := newSigner(t), newSigner(t)
	message, note := alice.event(1059, time.Now().Unix(), "", nostr.Tag{"p", bob.pubkey()}), alice.event(1, time.Now().Unix(), "")
	mustInsert(t, r.store, message)
	mustInsert(t, r.store, note)
	nothing := strings.Repeat("f", 64)
	for _, filter := range []string{
		`{"ids":["` + message.ID + `"]}`, `{"ids":["` + nothing + `"]}`, `{"#p":["` + bob.pubkey() + `"]}`,
		`{"kinds":[7,1059],"authors":["` + alice.pubkey() + `"]}`, `{"kinds":[7]},{"ids":["` + message.ID + `"]}`,
		`{"ids":["` + message.ID + `","` + nothing + `"],"limit":1}`,
	} {
		for ask, answer := range map[string]string{
			`["REQ","a",%s]`: "EOSE", `["COUNT","a",%s]`: "COUNT", `["NEG-OPEN","a",[%s],"6100000200"]`: "NEG-MSG",
		} {
			c := dialRaw(t, r.URL())
			c.sendf(ask, filter)
			c.expect("AUTH")
			c.expect(answer, "a")
			c.sendf(ask, filter)
			c.expect(answer, "a") // and not offered twice
			c.authenticate(r.URL(), bob)
			if got := c.got(filter); slices.Contains(got, message.ID) == (filter == `{"ids":["`+nothing+`"]}`) {
				t.Errorf("%s: a party got %v", filter, got)
			}
		}
	}
	lists := startConfig(t, Config{Kinds: []int{10002}})
	for _, c := range []*rawClient{dialRaw(t, r.URL()), dialRaw(t, lists.URL())} {
		for _, filter := range []string{
			`{"kinds":[7]}`, `{"kinds":[1],"ids":["` + message.ID + `"]}`, `{"ids":[]}`, `{"authors":["` + bob.pubkey() + `"]}`,
			`{"since":5,"limit":0}`,
		} {
			c.sendf(`["REQ","a",%s]`, filter)
			c.expect("EOSE", "a")
		}
	}
	c := dialRaw(t, r.URL())
	c.sendf(`["REQ","a",{"ids":[%q]}]`, note.ID)
	c.expect("EVENT", "a")
	c.expect("EOSE", "a")
	c = dialRaw(t, lists.URL())
	c.sendf(`["REQ","a",{"ids":[%q]}]`, message.ID)
	c.expect("EOSE", "a")
}

// The pipeline is shown everything by the token of this start, and no other header
// opens anything.
func TestTheTokenShowsEverything(t *testing.T) {
	r := startRelay(t, "")
	message := newSigner(t).event(4, time.Now().Unix(), "?iv=", nostr.Tag{"p", newSigner(t).pubkey()})
	mustInsert(t, r.store, message)
	c, err := relay.Dial(t.Context(), r.URL(), relay.Options{AllowPrivate: true, Token: r.Token()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, needs := reconcileOurs(t, c, nostr.Filter{Kinds: []int{4}}, nil, 0); !slices.Equal(needs, []string{message.ID}) {
		t.Errorf("the set of the pipeline is %v, want the message", needs)
	}
	found := 0
	for _, err := range c.Query(t.Context(), nostr.Filter{IDs: []string{message.ID}}) {
		if err != nil {
			t.Fatal(err)
		}
		found++
	}
	if found != 1 {
		t.Errorf("the pipeline got %d events, want the message", found)
	}
	for _, header := range []string{"", "Bearer", "Bearer ", "Bearer " + r.Token() + "x", r.Token(), "Basic " + r.Token()} {
		with := &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {header}}}
		ws, _, err := websocket.Dial(t.Context(), r.URL(), with) //nolint:bodyclose // Dial has read it
		if err != nil {
			t.Fatal(err)
		}
		raw := &rawClient{t, t.Context(), ws}
		if got := raw.got(`{}`); len(got) > 0 {
			t.Errorf("%q shows a message", header)
		}
		ws.CloseNow()
	}
}
