package homerelay

import (
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// crashKhatru is the message that ends khatru v0.19.1 and every other relay on
// go-nostr's negentropy: a bound whose length is -1 as a signed number.
const crashKhatru = `["NEG-OPEN","d",{},"6100ffffffffffffffffff7f"]`

// hostileFrames crashed, hung or bloated other implementations of negentropy.
var hostileFrames = map[string]string{
	"bound of length -1":    "6100ffffffffffffffffff7f",
	"the same with a mode":  "6101ffffffffffffffffff7f01",
	"list of 1.7e11 ids":    "6100000284ffffffff00",
	"list of 2^63 ids":      "61000002ffffffffffffffff7f",
	"prefix of 64 bytes":    "610140" + strings.Repeat("00", 64) + "00",
	"number above 64 bits":  "61ffffffffffffffffffff7f0000",
	"bounds out of order":   "61010101ff00" + "010100" + "00",
	"unknown mode":          "61000007",
	"cut short":             "6100",
	"fingerprint cut short": "61000001aabb",
	"empty":                 "",
	"no version":            "00",
}

func TestHostileNegentropy(t *testing.T) {
	r := startRelay(t, "")
	mustInsert(t, r.store, newSigner(t).event(1, 1000, ""))
	c := dialRaw(t, r.URL())
	c.send(crashKhatru)
	c.expect("NEG-ERR", "d", "invalid: …")
	for name, frame := range hostileFrames {
		t.Run(name, func(t *testing.T) {
			c := dialRaw(t, r.URL())
			c.sendf(`["NEG-OPEN","x",{},%q]`, frame)
			c.expect("NEG-ERR", "x", "invalid: …")
			// The session is over.
			c.send(`["NEG-MSG","x","61"]`)
			c.expect("NEG-ERR", "x", "closed: …")
			// The same in the middle of a session.
			c.send(`["NEG-OPEN","x",{},"61"]`)
			c.expect("NEG-MSG", "x", "61")
			c.sendf(`["NEG-MSG","x",%q]`, frame)
			c.expect("NEG-ERR", "x", "invalid: …")
			c.alive()
		})
	}
	// Timestamps of 2^57 and 2^63 are odd, not wrong.
	c.send(`["NEG-OPEN","late",{},"61828080808080808000000200"]`)
	c.expect("NEG-MSG", "late", "61…")
	c.send(`["NEG-OPEN","later",{},"6181808080808080808000000200"]`)
	c.expect("NEG-MSG", "later", "61…")
}

// Every bad message has an answer in its own protocol, and the connection goes
// on.
func TestBadMessages(t *testing.T) {
	r := startRelay(t, "")
	c := dialRaw(t, r.URL())
	long := strings.Repeat("a", maxIDLength+1)
	for _, test := range []struct {
		send string
		want []any
	}{
		{``, []any{"NOTICE", "invalid: …"}},
		{`nonsense`, []any{"NOTICE", "invalid: …"}},
		{`{}`, []any{"NOTICE", "invalid: …"}},
		{`[]`, []any{"NOTICE", "invalid: …"}},
		{`null`, []any{"NOTICE", "invalid: …"}},
		{`[1]`, []any{"NOTICE", "invalid: …"}},
		{`["REQ"`, []any{"NOTICE", "invalid: …"}},
		{`["` + strings.Repeat("[", 1000) + `"]`, []any{"NOTICE", "unsupported: …"}},
		{strings.Repeat("[", 100_000), []any{"NOTICE", "invalid: …"}},
		{strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), []any{"NOTICE", "invalid: …"}},
		{`["HELLO"]`, []any{"NOTICE", "unsupported: …"}},
		{`["OK","x",true,""]`, []any{"NOTICE", "unsupported: …"}},

		{`["EVENT"]`, []any{"NOTICE", "invalid: …"}},
		{`["EVENT",null]`, []any{"NOTICE", "invalid: …"}},
		{`["EVENT",{}]`, []any{"NOTICE", "invalid: id…"}},
		{`["EVENT",[]]`, []any{"NOTICE", "invalid: …"}},
		{`["EVENT","x",{}]`, []any{"NOTICE", "invalid: …"}},
		{`["EVENT",{"id":5}]`, []any{"NOTICE", "invalid: …"}},
		{`["EVENT",{"id":"ab","kind":"1"}]`, []any{"OK", "ab", false, "invalid: not an event: kind: …"}},
		{`["EVENT",{"tags":[["p",1]],"id":"ab"}]`, []any{"OK", "ab", false, "invalid: not an event: tags: …"}},
		{`["EVENT",{"id":"AB"}]`, []any{"OK", "AB", false, "invalid: id: …"}},
		{`["EVENT",{"id":"` + long + `"}]`, []any{"OK", long, false, "invalid: id: …"}},
		{`["EVENT",{"id":"` + strings.Repeat("0", 64) + `"}]`, []any{"OK", strings.Repeat("0", 64), false, "invalid: pubkey…"}},
		{
			`["EVENT",{"id":"` + strings.Repeat("0", 64) + `","pubkey":"` + strings.Repeat("0", 64) + `"}]`,
			[]any{"OK", strings.Repeat("0", 64), false, "invalid: sig…"},
		},
		{
			`["EVENT",{"id":"` + strings.Repeat("0", 64) + `","pubkey":"` + strings.Repeat("0", 64) + `","tags":[],"sig":"` +
				strings.Repeat("0", 128) + `"}]`,
			[]any{"OK", strings.Repeat("0", 64), false, "invalid: id…"},
		},
		{
			`["EVENT",{"id":"` + strings.Repeat("0", 64) + `","pubkey":"` + strings.Repeat("0", 64) + `","sig":"` + strings.Repeat("0", 128) +
				`","tags":[[]]}]`,
			[]any{"OK", strings.Repeat("0", 64), false, "invalid: tags[0]: empty tag"},
		},
		{`["EVENT",{"tags":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}]`, []any{"NOTICE", "invalid: …"}},
		{`["EVENT",{"created_at":1e400}]`, []any{"NOTICE", "invalid: …"}},
		{`["EVENT",{"id":"abc"},{}]`, []any{"OK", "abc", false, "invalid: EVENT takes one event"}},
		{`["EVENT",{"id":"abc","ots":[1],"seen_on":{},"tags":[["t",5]]}]`, []any{"OK", "abc", false, "invalid: not an event: tags…"}},
		{`["EVENT",{"id":"abc","tags":[[5]],"kind":"1","created_at":1.5,"content":null}]`, []any{"OK", "abc", false, "invalid: not an event…"}},
		{`["EVENT",{"seen_on":["wss://x"],"id":"abc","tags":[],"kind":1}]`, []any{"OK", "abc", false, "invalid: id…"}},
		{`["EVENT",[]]`, []any{"NOTICE", "invalid: …"}},
		{`["AUTH"]`, []any{"NOTICE", "invalid: …"}},
		{`["AUTH","challenge"]`, []any{"NOTICE", "invalid: …"}},
		{`["AUTH",{"id":"` + strings.Repeat("0", 64) + `"}]`, []any{"OK", strings.Repeat("0", 64), false, "invalid: kind…"}},

		{`["REQ"]`, []any{"NOTICE", "invalid: …"}},
		{`["REQ",5,{}]`, []any{"NOTICE", "invalid: …"}},
		{`["REQ","",{}]`, []any{"NOTICE", "invalid: …"}},
		{`["REQ","` + long + `",{}]`, []any{"CLOSED", long, "invalid: an id of 65 characters…"}},
		{`["REQ","` + strings.Repeat("é", maxIDLength) + `",{"ids":[]}]`, []any{"EOSE", strings.Repeat("é", maxIDLength)}},
		{`["REQ","a"]`, []any{"CLOSED", "a", "invalid: …"}},
		{`["REQ","a",null]`, []any{"CLOSED", "a", "invalid: …"}},
		{`["REQ","a",[]]`, []any{"CLOSED", "a", "invalid: …"}},
		{`["REQ","a",{"kinds":null}]`, []any{"CLOSED", "a", "invalid: filter: kinds: null…"}},
		{`["REQ","a",{"kinds":["x"]}]`, []any{"CLOSED", "a", "invalid: …"}},
		{`["REQ","a",{"ids":[5]}]`, []any{"CLOSED", "a", "invalid: …"}},
		{`["REQ","a",{"since":"x"}]`, []any{"CLOSED", "a", "invalid: …"}},
		{`["REQ","a",{"search":"x"}]`, []any{"CLOSED", "a", "unsupported: …"}},
		{`["REQ","a"` + strings.Repeat(`,{}`, maxFilters+1) + `]`, []any{"CLOSED", "a", "invalid: …"}},
		{`["REQ","a",{"limit":-5}]`, []any{"EOSE", "a"}},
		{`["REQ","a\"],[\"",{"##":["x"]}]`, []any{"EOSE", `a"],["`}},
		{`["REQ","a",{"#long":["y"]}]`, []any{"CLOSED", "a", `unsupported: filter: unknown key "#long"…`}},
		{`["COUNT"]`, []any{"NOTICE", "invalid: …"}},
		{`["COUNT",{},{}]`, []any{"NOTICE", "invalid: …"}},
		{`["COUNT","a"]`, []any{"CLOSED", "a", "invalid: …"}},
		{`["COUNT","a",{"ids":5}]`, []any{"CLOSED", "a", "invalid: …"}},
		{`["COUNT","a",{"search":"x"}]`, []any{"CLOSED", "a", "unsupported: …"}},
		{`["COUNT","` + long + `",{}]`, []any{"CLOSED", long, "invalid: an id of 65 characters…"}},

		{`["NEG-OPEN"]`, []any{"NOTICE", "invalid: …"}},
		{`["NEG-OPEN",5,{},"61"]`, []any{"NOTICE", "invalid: …"}},
		{`["NEG-OPEN","` + long + `",{},"61"]`, []any{"NEG-ERR", long, "invalid: an id of 65 characters…"}},
		{`["NEG-OPEN","a"]`, []any{"NEG-ERR", "a", "invalid: …"}},
		{`["NEG-OPEN","a",{}]`, []any{"NEG-ERR", "a", "invalid: …"}},
		{`["NEG-OPEN","a","x","61"]`, []any{"NEG-ERR", "a", "invalid: …"}},
		{`["NEG-OPEN","a",[],"61"]`, []any{"NEG-ERR", "a", "invalid: …"}},
		{`["NEG-OPEN","a",[5],"61"]`, []any{"NEG-ERR", "a", "invalid: …"}},
		{`["NEG-OPEN","a",{"authors":5},"61"]`, []any{"NEG-ERR", "a", "invalid: …"}},
		{`["NEG-OPEN","a",{"search":"x"},"61"]`, []any{"NEG-ERR", "a", "unsupported: …"}},
		{`["NEG-OPEN","a",{},5]`, []any{"NEG-ERR", "a", "invalid: …"}},
		{`["NEG-OPEN","a",{},"6"]`, []any{"NEG-ERR", "a", "invalid: …"}},
		{`["NEG-OPEN","a",{},"zz"]`, []any{"NEG-ERR", "a", "invalid: …"}},
		{`["NEG-MSG"]`, []any{"NOTICE", "invalid: …"}},
		{`["NEG-MSG","never"]`, []any{"NEG-ERR", "never", "closed: …"}},
	} {
		c.send(test.send)
		c.expect(test.want...)
	}
	// These have no answer.
	for _, text := range []string{`["CLOSE"]`, `["CLOSE",{}]`, `["CLOSE","never"]`, `["NEG-CLOSE"]`, `["NEG-CLOSE","never"]`} {
		c.send(text)
	}
	c.alive()
}

// Libraries send bytes in binary messages, as relays take them.
func TestTextInABinaryMessageIsAnswered(t *testing.T) {
	r := startRelay(t, "")
	c := dialRaw(t, r.URL())
	if err := c.ws.Write(c.ctx, websocket.MessageBinary, []byte(`["REQ","x",{"ids":[]}]`)); err != nil {
		t.Fatal(err)
	}
	c.expect("EOSE", "x")
}

// What is no text of allowed size ends the connection, and no other.
func TestConnectionIsClosed(t *testing.T) {
	r := startRelay(t, "")
	bystander := dialRaw(t, r.URL())
	for name, send := range map[string]func(*rawClient) error{
		"huge":   func(c *rawClient) error { return c.ws.Write(c.ctx, websocket.MessageText, make([]byte, maxMessage+1)) },
		"binary": func(c *rawClient) error { return c.ws.Write(c.ctx, websocket.MessageBinary, []byte{0x80}) },
		"no UTF-8": func(c *rawClient) error {
			return c.ws.Write(c.ctx, websocket.MessageText, []byte("[\"CLOSE\",\"\xff\"]"))
		},
	} {
		c := dialRaw(t, r.URL())
		_ = send(c) // the relay may close before it has read everything
		if _, _, err := c.ws.Read(c.ctx); err == nil || c.ctx.Err() != nil {
			t.Errorf("%s: the connection was not closed: %v", name, err)
		}
	}
	bystander.alive()
}
