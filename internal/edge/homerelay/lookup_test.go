package homerelay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A relay of certain kinds takes them, what ends events of theirs, and nothing else.
func TestARelayOfCertainKinds(t *testing.T) {
	t.Parallel()
	r := startConfig(t, Config{Kinds: []int{0, 10002}})
	author, other, now := newSigner(t), newSigner(t), time.Now().Unix()
	list := author.event(10002, now-10, "", nostr.Tag{"r", "wss://relay.example"})
	c := dialRaw(t, r.URL())
	for _, step := range []struct {
		what string
		e    *nostr.Event
		ok   bool
	}{
		{"a note", author.event(1, now, "hi"), false},
		{"a note that names a list", author.event(1, now, "", nostr.Tag{"k", "10002"}), false},
		{"an ephemeral event", author.event(20001, now, ""), false},
		{"a list of another kind", author.event(10003, now, ""), false},
		{"a deletion of a note by an id that is not here", author.event(5, now, "", nostr.Tag{"e", strings.Repeat("0", 64)}), false},
		{"a deletion of a note by its kind", author.event(5, now, "", nostr.Tag{"e", strings.Repeat("0", 64)}, nostr.Tag{"k", "1"}), false},
		{"a deletion of another's list", author.event(5, now, "", nostr.Tag{"a", "10002:" + other.pubkey() + ":"}), false},
		{"a request to vanish from elsewhere", author.event(62, now, "", nostr.Tag{"relay", "wss://elsewhere.example"}), false},
		{"a list", list, true},
		{"a profile", author.event(0, now, "{}"), true},
		{"an older list", author.event(10002, now-20, ""), false},
		{"a deletion by id of a list that is here", author.event(5, now, "", nostr.Tag{"e", list.ID}), true},
		{"the list that was deleted", list, false},
		{"a deletion by address", author.event(5, now, "x", nostr.Tag{"a", "10002:" + author.pubkey() + ":"}), true},
		{"a deletion by kind", author.event(5, now, "y", nostr.Tag{"e", strings.Repeat("1", 64)}, nostr.Tag{"k", "10002"}), true},
		{"a request to vanish from everywhere", author.event(62, now, "", nostr.Tag{"relay", "ALL_RELAYS"}), true},
		{"a profile of who has vanished", author.event(0, now, "{\"name\":\"x\"}"), false},
	} {
		c.sendEvent("EVENT", step.e)
		c.expect("OK", step.e.ID, step.ok)
		if !step.ok && t.Failed() {
			t.Fatalf("%s was taken", step.what)
		}
	}
	if ok, why := r.Keep(other.event(30166, now, "", nostr.Tag{"d", "wss://index.example"})); !ok {
		t.Errorf("what the relay's own process keeps was refused: %s", why)
	}
}

// A REQ for lists that are not here waits for those who look them up, and no longer than a second; a connection that looks up
// itself does not, nor the pipeline's.
func TestAREQWaitsForWhatIsLookedUp(t *testing.T) {
	t.Parallel()
	author, now := newSigner(t), time.Now().Unix()
	list, stored, deleted := author.event(10002, now, "found"), newSigner(t), newSigner(t)
	asked := make(chan []nostr.Address, 8)
	var r *Relay
	r = startConfig(t, Config{Kinds: []int{0, 10002}, LookUp: func(ctx context.Context, lacking []nostr.Address) {
		asked <- lacking
		if slices.Contains(lacking, nostr.Address{Kind: 10002, PubKey: list.PubKey}) {
			r.Accept(list)
			return
		}
		<-ctx.Done()
	}})
	mustInsert(t, r.store, stored.event(10002, now, ""), deleted.event(5, now, "", nostr.Tag{"a", "10002:" + deleted.pubkey() + ":"}))
	for what, header := range map[string][]string{"a hop": {"Relaymesh-Hop", "1"}, "the pipeline": {"Authorization", "Bearer " + r.Token()}} {
		c := mustDialFrom(t, r, "127.0.0.1", header...)
		c.send(fmt.Sprintf(`["REQ","x",{"authors":[%q],"kinds":[10002]}]`, list.PubKey))
		c.expect("EOSE", "x")
		if len(asked) > 0 {
			t.Errorf("for %s was looked up %v", what, <-asked)
		}
	}
	c := dialRaw(t, r.URL())
	for _, nothing := range []string{
		fmt.Sprintf(`{"authors":[%q,%q],"kinds":[10002]}`, stored.pubkey(), deleted.pubkey()), `{"kinds":[10002]}`,
		fmt.Sprintf(`{"authors":[%q],"kinds":[1,3,10003,30166]}`, list.PubKey), fmt.Sprintf(`{"authors":[%q]}`, list.PubKey),
		fmt.Sprintf(`{"authors":[%q],"kinds":[10002],"#d":["x"]}`, list.PubKey),
	} {
		c.send(`["REQ","n",` + nothing + `]`)
		for c.next()[0] != "EOSE" {
		}
		if len(asked) > 0 {
			t.Errorf("for %s was looked up %v", nothing, <-asked)
		}
	}
	c.send(fmt.Sprintf(`["REQ","y",{"authors":[%q],"kinds":[10002,0]}]`, list.PubKey))
	if got := c.expect("EVENT", "y")[2].(map[string]any); got["id"] != list.ID {
		t.Errorf("got %v", got)
	}
	if got := <-asked; len(got) != 2 {
		t.Errorf("looked up %v", got)
	}
	var nobody []string
	for i := range 2000 {
		nobody = append(nobody, fmt.Sprintf("%q", fmt.Sprintf("%064x", i)))
	}
	begun := time.Now()
	d := dialRaw(t, r.URL())
	d.send(`["REQ","z",{"authors":[` + strings.Join(nobody, ",") + `],"kinds":[0,10002]}]`)
	d.expect("EOSE", "z")
	if waited := time.Since(begun); waited < lookUpWait || waited > 15*lookUpWait {
		t.Errorf("waited %v", waited)
	}
	if got := <-asked; len(got) != maxLookedUp {
		t.Errorf("looked up %d addresses for 2,000 authors", len(got))
	}
}

// Pages are served beside the websocket and NIP-11, which has the fields that were added.
func TestPagesAndFields(t *testing.T) {
	t.Parallel()
	r := startConfig(t, Config{
		Info: func() map[string]any { return map[string]any{"list_index": map[string]any{"version": 1}} },
		Pages: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.WriteString(w, "page "+req.URL.Path)
		}),
	})
	get := func(path string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http"+strings.TrimPrefix(r.URL(), "ws")+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/nostr+json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := get("/list/x"); got != "page /list/x" {
		t.Errorf("got %q", got)
	}
	var doc struct {
		Name      string         `json:"name"`
		ListIndex map[string]any `json:"list_index"`
	}
	if err := json.Unmarshal([]byte(get("/")), &doc); err != nil || doc.Name == "" || doc.ListIndex["version"] != 1.0 {
		t.Errorf("NIP-11 is %+v, %v", doc, err)
	}
}

// However many keys a stranger makes, a relay with a bound keeps to it, and to the authors that it has; a tenth is left for what its
// own process has verified.
func TestAFullRelayKeepsTheAuthorsThatItHas(t *testing.T) {
	t.Parallel()
	const most = 4 << 20
	r := startConfig(t, Config{Kinds: []int{10002}, MaxBytes: most})
	now := time.Now().Unix()
	large, small := strings.Repeat("x", 20<<10), strings.Repeat("x", 1<<10)
	honest := newSigner(t)
	first := honest.event(10002, now-10, large)
	c := dialRaw(t, r.URL())
	tell := func(e *nostr.Event) (taken bool, why string) {
		t.Helper()
		c.sendEvent("EVENT", e)
		answer := c.expect("OK", e.ID)
		return answer[2].(bool), answer[3].(string)
	}
	if taken, why := tell(first); !taken {
		t.Fatal(why)
	}
	full, why := false, ""
	for i := 0; i < 2*most/len(large) && !full; i++ {
		if ok, why := r.Accept(newSigner(t).event(10002, now, large)); !ok {
			t.Fatal(why)
		}
		var taken bool
		taken, why = tell(newSigner(t).event(10002, now, ""))
		full = !taken
	}
	if !full || !strings.HasPrefix(why, "blocked: this relay is full") {
		t.Fatalf("never full: %s", why)
	}
	for _, step := range []struct {
		what string
		e    *nostr.Event
		ok   bool
	}{
		{"another's list", newSigner(t).event(10002, now, ""), false},
		{"another's deletion", newSigner(t).event(5, now, "", nostr.Tag{"k", "10002"}), false},
		{"another's request to vanish", newSigner(t).event(62, now, "", nostr.Tag{"relay", "ALL_RELAYS"}), false},
		{"a newer list that is larger", honest.event(10002, now-9, large+large[:100]), false},
		{"a newer list", honest.event(10002, now-8, small), true},
		{"a deletion", honest.event(5, now-7, "", nostr.Tag{"k", "10002"}, nostr.Tag{"a", "10002:" + honest.pubkey() + ":"}), true},
	} {
		if taken, why := tell(step.e); taken != step.ok {
			t.Errorf("%s: taken is %t, %s", step.what, taken, why)
		}
	}
	own := 0
	for ; own < most/len(large); own++ {
		if ok, _ := r.Accept(newSigner(t).event(10002, now, large)); !ok {
			break
		}
	}
	if own == 0 || own > most/5/len(large) {
		t.Errorf("of its own process it takes %d more", own)
	}
	if taken, why := tell(newSigner(t).event(10002, now, strings.Repeat("x", maxKept))); taken || !strings.HasPrefix(why, "invalid: ") {
		t.Errorf("a list of 32 KiB: %t, %s", taken, why)
	}
}
