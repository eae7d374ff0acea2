package nostr_test

import (
	"encoding/json"
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// An event is read, checked and matched; its signature is checked elsewhere.
func Example() {
	event := nostr.Event{
		PubKey:    "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d",
		CreatedAt: 1_700_000_000, Kind: 1, Tags: []nostr.Tag{{"t", "relays"}}, Content: "hello",
	}
	event.ID = event.Hash()

	var filter nostr.Filter
	if err := json.Unmarshal([]byte(`{"kinds":[1],"#t":["relays"],"since":1600000000}`), &filter); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(event.ID[:8], event.Tag("t").At(1), filter.Match(&event))
	// Output: daa99c4f relays true
}

// Whatever comes from the network is checked for its form and bounds first.
func ExampleParseEvent() {
	_, err := nostr.ParseEvent([]byte(`{"id":"5c83","kind":1}`))
	fmt.Println(err)
	// Output: id: want 64 lower-case hex digits
}

// One relay has many spellings and one URL, from which its key in subjects and
// KV is made.
func ExampleNormalizeRelayURL() {
	for _, raw := range []string{
		"WSS://Relay.Example.com:443/", "wss://relay.example.com/inbox", "ws://10.0.0.1", "https://relay.example.com",
	} {
		url, err := nostr.NormalizeRelayURL(raw, false)
		fmt.Println(url, err)
	}
	// Output:
	// wss://relay.example.com <nil>
	// wss://relay.example.com/inbox <nil>
	//  relay url "ws://10.0.0.1": leads into a private or reserved network
	//  relay url "https://relay.example.com": scheme must be ws or wss
}

// Equal filters are equal text, and have equal keys.
func ExampleFilter_Key() {
	a := nostr.Filter{Kinds: []int{1}, Since: 1_600_000_000}
	b := nostr.Filter{Since: 1_600_000_000, Kinds: []int{1}}
	fmt.Println(string(nostr.Encode(a)), a.Key() == b.Key())
	// Output: {"kinds":[1],"since":1600000000} true
}

// An address names the newest event of a kind, author and d tag.
func ExampleParseAddress() {
	a, err := nostr.ParseAddress("30023:3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d:intro")
	fmt.Println(a.Kind, a.D, nostr.Addressable(a.Kind), err)
	// Output: 30023 intro true <nil>
}
