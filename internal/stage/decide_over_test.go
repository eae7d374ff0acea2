package stage

import (
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A deletion that names a list by its id and by its address does what both say.
func TestADeletionByIDAndAddress(t *testing.T) {
	app := []nostr.Address{{Kind: nostr.KindAppData, PubKey: alice, D: "relays"}}
	this, another := []string{id1}, []string{id2}
	for name, tc := range map[string]struct {
		via           string
		over          Ending
		ended, reborn bool // whether the list ends, and whether one of version 150 counts after that
	}{
		"by id":                       {contract.ViaNIP78, Ending{At: 200, IDs: this}, true, true},
		"by address":                  {contract.ViaNIP78, Ending{At: 200, Addresses: app}, true, false},
		"by both":                     {contract.ViaNIP78, Ending{At: 200, IDs: this, Addresses: app}, true, false},
		"by both, and a request":      {contract.ViaNIP65, Ending{At: 200, IDs: this, All: true}, true, false},
		"by both, earlier":            {contract.ViaNIP78, Ending{At: 50, IDs: this, Addresses: app}, true, true},
		"by address, earlier":         {contract.ViaNIP78, Ending{At: 50, Addresses: app}, false, true},
		"another id and the address":  {contract.ViaNIP78, Ending{At: 200, IDs: another, Addresses: app}, true, false},
		"another id, another address": {contract.ViaNIP65, Ending{At: 200, IDs: another, Addresses: app}, false, true},
	} {
		known := contract.List{Version: 100, ID: id1, D: "relays", Write: []string{"wss://a.example"}}
		a, _ := EndLists(alice, contract.Author{Lists: map[string]contract.List{tc.via: known}}, tc.over)
		if a.Lists[tc.via].Ended() != tc.ended {
			t.Errorf("%s: %+v stands", name, a.Lists[tc.via])
		}
		if _, takes := LearnList(a, tc.via, contract.List{Version: 150, ID: id2}); takes != tc.reborn {
			t.Errorf("%s: a list of between counts is %t", name, takes)
		}
	}
}

// Of two lists of one seq, and of one list that was read twice.
func TestOneListReadFromAnEventAndFromTheNetwork(t *testing.T) {
	relays := []string{"wss://a.example"}
	event := contract.List{Version: 7, Key: keyA, ID: id2, At: 100, Write: relays}
	found := contract.List{Version: 7, Key: keyA, ID: strings.Repeat("01", 64), Write: relays}
	over := contract.List{Version: 7, Key: keyA}
	before := contract.List{Version: 7, Key: keyA, ID: id2, Write: relays} // of an earlier version of relaymesh
	for name, tc := range map[string]struct{ old, l, want contract.List }{
		"the event, then the network":      {event, found, event},
		"the network, then the event":      {found, event, event},
		"the event again":                  {event, event, event},
		"the event again, now with a time": {before, event, event},
		"over, then the network":           {over, found, over},
		"over, then the event":             {over, event, over},
		"the network, then over":           {found, over, over},
		"the event, then over":             {event, over, over},
	} {
		a := contract.Author{DHTKey: keyA, Lists: map[string]contract.List{contract.ViaDHT: tc.old}}
		a, _ = LearnList(a, contract.ViaDHT, tc.l)
		if got := a.Lists[contract.ViaDHT]; got.ID != tc.want.ID || got.At != tc.want.At {
			t.Errorf("%s: %+v stands, want %+v", name, got, tc.want)
		}
	}
	a := contract.Author{DHTKey: keyA, Lists: map[string]contract.List{contract.ViaDHT: event}}
	a, _ = LearnList(a, contract.ViaDHT, found)
	if _, ended := EndLists(alice, a, Ending{At: 200, IDs: []string{id2}}); !ended {
		t.Error("after a look-up a deletion by id ends nothing")
	}
}

// A deletion by address is about the events up to its time, whenever the author
// last named their key and in whatever order all this arrives.
func TestTheEndOfADHTListDoesNotDependOnOrder(t *testing.T) {
	over := Ending{At: 200, Addresses: []nostr.Address{{Kind: nostr.KindDHTList, PubKey: alice}}}
	list := func(seq, at int64, id string) contract.List {
		return contract.List{Version: seq, Key: keyA, ID: id, At: at, Write: []string{"wss://a.example"}}
	}
	known := func(keyAt int64, l contract.List) contract.Author {
		return contract.Author{DHTKey: keyA, DHTKeyBy: alice, DHTKeyAt: keyAt, Lists: map[string]contract.List{contract.ViaDHT: l}}
	}
	for name, tc := range map[string]struct {
		author contract.Author
		want   bool
	}{
		"a list of before":                              {known(100, list(7, 100, id1)), true},
		"of before, its key named again since":          {known(300, list(7, 100, id1)), true},
		"a list of later":                               {known(300, list(7, 300, id1)), false},
		"of later, its key named before":                {known(100, list(7, 300, id1)), false},
		"a list that was looked up, its key from then":  {known(100, list(7, 0, sig)), true},
		"a list that was looked up, its key from later": {known(300, list(7, 0, sig)), false},
	} {
		if _, ended := EndLists(alice, tc.author, over); ended != tc.want {
			t.Errorf("%s: ended is %t", name, ended)
		}
	}
	a, _ := EndLists(alice, known(100, list(7, 100, id1)), over)
	if _, takes := LearnList(a, contract.ViaDHT, list(8, 150, id2)); takes {
		t.Error("a list of before the deletion that comes late counts by its seq")
	}
	if _, takes := LearnList(a, contract.ViaDHT, list(8, 250, id2)); !takes {
		t.Error("a list of after the deletion does not count")
	}
	a, _ = EndLists(alice, a, Ending{At: 260, Addresses: over.Addresses})
	if _, takes := LearnList(a, contract.ViaDHT, list(8, 250, id2)); takes {
		t.Error("a second deletion does not count")
	}
}
