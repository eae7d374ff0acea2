package homerelay

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A deletion by address reaches as far as its own time, however long the d is, and
// keeps away what comes later (NIP-09).
func TestDeletionByAddress(t *testing.T) {
	s := newStore(t)
	for i, d := range []string{"", "short", strings.Repeat("x", 900), strings.Repeat("y", 951), strings.Repeat("é:", 5000)} {
		author := newSigner(t)
		version := func(at int64) *nostr.Event { return author.event(30023, at, "", nostr.Tag{"d", d}) }
		address := nostr.Address{Kind: 30023, PubKey: author.pubkey(), D: d}.String()
		mustInsert(t, s, version(100), author.event(5, 200, "", nostr.Tag{"a", address}))
		for at, want := range map[int64]error{100: errDeleted, 150: errDeleted, 200: errDeleted} {
			if err := s.Insert(version(at)); err != want { //nolint:errorlint // they are returned as they are
				t.Errorf("%d: insert at %d: %v, want %v", i, at, err, want)
			}
		}
		mustInsert(t, s, version(201), author.event(5, 199, "", nostr.Tag{"a", address}))
		if got := idsOf(t, s, nostr.Filter{Authors: []string{author.pubkey()}, Kinds: []int{30023}}); len(got) != 1 {
			t.Errorf("%d: %d versions are stored, want the one after the deletion", i, len(got))
		}
	}
	// The same holds for replaceable kinds, and not for addresses of others.
	author, other := newSigner(t), newSigner(t)
	mustInsert(t, s, author.event(10002, 100, ""), other.event(5, 200, "", nostr.Tag{"a", "10002:" + author.pubkey() + ":"}))
	if got := idsOf(t, s, nostr.Filter{Authors: []string{author.pubkey()}}); len(got) != 1 {
		t.Error("another's deletion has an effect")
	}
	for i, colon := range []string{":", ""} {
		at := int64(101 + i)
		mustInsert(t, s, author.event(10002, at, ""), author.event(5, at, "", nostr.Tag{"a", "10002:" + author.pubkey() + colon}))
		if got := idsOf(t, s, nostr.Filter{Authors: []string{author.pubkey()}, Kinds: []int{10002}}); len(got) != 0 {
			t.Errorf("a deletion of the same second, with %q at the end of the address, has no effect", colon)
		}
	}
}

// An expired event is neither stored nor passed on, an ephemeral one included, and one
// that expires while it is stored is not served any more (NIP-40).
func TestExpiredEventsAreNowhere(t *testing.T) {
	r := startRelay(t, "")
	var ahead atomic.Int64
	r.store.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	c, listener := dialRaw(t, r.URL()), dialRaw(t, r.URL())
	listener.send(`["REQ","live",{"limit":0}]`)
	listener.expect("EOSE", "live")
	author, now := newSigner(t), time.Now().Unix()
	for _, at := range []string{strconv.FormatInt(now-1, 10), "0", "-5", "1"} {
		for _, kind := range []int{1, 20001, 10002, 30023} {
			e := author.event(kind, now, at, nostr.Tag{"expiration", at})
			c.sendEvent("EVENT", e)
			c.expect("OK", e.ID, false, "invalid: the event has expired")
		}
	}
	// What is no number, or never comes, is no end.
	for _, at := range []string{"soon", "", "99999999999999999999", strconv.FormatInt(now+3600, 10)} {
		e := author.event(1, now, at, nostr.Tag{"expiration", at})
		c.sendEvent("EVENT", e)
		c.expect("OK", e.ID, true)
		listener.expect("EVENT", "live")
	}
	fleeting := author.event(20001, now, "", nostr.Tag{"expiration", strconv.FormatInt(now+3600, 10)})
	c.sendEvent("EVENT", fleeting)
	c.expect("OK", fleeting.ID, true)
	listener.expect("EVENT", "live")
	c.send(`["COUNT","all",{}]`)
	if n := c.expect("COUNT", "all")[2].(map[string]any)["count"]; n != 4.0 {
		t.Errorf("%v events are stored, want 4", n)
	}
	ahead.Store(int64(time.Hour))
	for _, filter := range []string{`{}`, `{"kinds":[1]}`} {
		if got := len(c.got(filter)); got != 3 {
			t.Errorf("%d events are served for %s after one has expired, want 3", got, filter)
		}
		if got := len(c.listed(filter)); got != 3 {
			t.Errorf("%d events are in the set for %s after one has expired, want 3", got, filter)
		}
	}
}

// What a filter matches is the same for stored and for live events, also where its
// values are not as NIP-01 wants them.
func TestStoredAndLiveMatchAlike(t *testing.T) {
	r := startRelay(t, "")
	author, writer := newSigner(t), dialRaw(t, r.URL())
	at := time.Now().Unix() - 10
	var all []*nostr.Event
	for i, tags := range [][]nostr.Tag{
		nil,
		{{"t", "Nostr"}},
		{{"t", "nostr"}},
		{{"T", "nostr"}},
		{{"p", author.pubkey()}},
		{{"p", strings.ToUpper(author.pubkey())}},
		{{"t"}},
		{{"t", ""}},
		{{"e", strings.Repeat("AB", 32)}},
		{{"d", "x", "y"}, {"d", "y"}},
		{{"é", "x"}},
		{{"tt", "x"}},
	} {
		all = append(all, author.event(1, at+int64(i%3), strconv.Itoa(i), tags...))
	}
	upper := strings.ToUpper(author.pubkey())
	for i, filter := range []string{
		`{"ids":["` + strings.ToUpper(all[0].ID) + `","` + all[1].ID + `",""]}`,
		`{"authors":["` + author.pubkey() + `"]}`, `{"authors":["` + upper + `"]}`, `{"authors":["` + upper + `","` + author.pubkey() + `"]}`,
		`{"authors":["` + author.pubkey()[:10] + `"]}`, `{"authors":[""]}`,
		`{"#t":["nostr"]}`, `{"#t":["Nostr"]}`, `{"#T":["nostr"]}`, `{"#t":[""]}`, `{"#t":["nostr","Nostr"],"#p":["` + upper + `"]}`,
		`{"#p":["` + upper + `"]}`, `{"#p":["` + author.pubkey() + `"]}`, `{"#e":["` + strings.Repeat("ab", 32) + `"]}`,
		`{"#e":["` + strings.Repeat("AB", 32) + `"]}`, `{"#d":["y"]}`, `{"#d":["x"],"#p":["x"]}`, `{"kinds":[-1,65536,65537]}`, `{"kinds":[1,1]}`,
		fmt.Sprintf(`{"since":%d,"until":%d}`, at+1, at+1), `{"until":0}`, `{"until":-5}`, `{"since":-5}`, `{"since":9223372036854775807}`,
	} {
		c := dialRaw(t, r.URL())
		c.sendf(`["REQ","live",%s]`, strings.Replace(filter, "{", `{"limit":0,`, 1))
		for m := c.next(); m[0] != "EOSE"; m = c.next() {
			if m[0] != "AUTH" { // offered to who may miss a message
				t.Errorf("%s is answered by %v", filter, m)
			}
		}
		c.send(`["REQ","end",{"kinds":[20000]}]`)
		c.expect("EOSE", "end")
		// A second set of ids, so that each is new to the relay.
		var ids []string
		for _, e := range all {
			fresh := author.event(1, e.CreatedAt, fmt.Sprintf("%s of %d", e.Content, i), e.Tags...)
			if i == 0 {
				fresh = e
			}
			writer.sendEvent("EVENT", fresh)
			ids = append(ids, fresh.ID)
		}
		for range ids {
			writer.expect("OK", anything, true)
		}
		end := author.event(20000, at, filter)
		writer.sendEvent("EVENT", end)
		var live []string
		for m := c.next(); m[1] != "end"; m = c.next() {
			if id := m[2].(map[string]any)["id"].(string); id != end.ID {
				live = append(live, id)
			}
		}
		writer.expect("OK", end.ID, true)
		c.send(`["CLOSE","live"]`)
		c.send(`["CLOSE","end"]`)
		stored := slices.DeleteFunc(c.got(filter), func(id string) bool { return !slices.Contains(ids, id) })
		if !slices.Equal(sorted(live), stored) {
			t.Errorf("%s: live %d, stored %d", filter, len(live), len(stored))
		}
	}
}
