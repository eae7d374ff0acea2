package ingest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const listedAt = 1_600_000_000

// by is an event of alice's of some kind, so many seconds after her first list.
func by(kind int, after int64, tags ...nostr.Tag) nostr.Event {
	e := textNote(alice, "", tags...)
	e.Kind, e.CreatedAt = kind, listedAt+after
	e.ID = e.Hash()
	return e
}

// The author's list of NIP-65 names one relay, that of NIP-78 a second, that of the
// DHT a third; a stranger's hint has named a fourth.
func TestAListThatIsOverHasNoLinks(t *testing.T) {
	const nip65, nip78, dht, hint = "wss://nip65.example", "wss://nip78.example", "wss://dht.example", "wss://hint.example"
	first := by(nostr.KindRelayList, 0, nostr.Tag{"r", nip65})
	data := by(nostr.KindAppData, 0, nostr.Tag{"d", "relays"}, nostr.Tag{"r", nip78}, nostr.Tag{"dht", strings.Repeat("0", 64)})
	item, _ := signed(t, 7, relayList(t, dht))
	record := dhtList(item, item.SignedBuffer())
	record = by(nostr.KindDHTList, 0, record.Tags...)
	record.Content = dhtList(item, item.SignedBuffer()).Content
	record.ID = record.Hash()
	data.Tags[2] = nostr.Tag{"dht", record.Tags[0].At(1)}
	data.ID = data.Hash()
	onion := nostr.Tag{"r", "ws://" + strings.Repeat("a", 56) + ".onion"}
	private := nostr.Tag{"r", "ws://10.0.0.1"}
	a := func(kind int, pubkey, d string) nostr.Tag {
		return nostr.Tag{"a", fmt.Sprintf("%d:%s:%s", kind, pubkey, d)}
	}
	from := func(relay string) nostr.Tag { return nostr.Tag{"relay", relay} }
	e := func(of nostr.Event) nostr.Tag { return nostr.Tag{"e", of.ID} }
	many := make([]nostr.Tag, nostr.MaxListTags+1)
	for i := range many {
		many[i] = nostr.Tag{"r", fmt.Sprintf("wss://relay%d.example", i)}
	}
	unusable, _ := signed(t, 8, relayList(t, "ws://127.0.0.1"))
	bare := dhtList(unusable, unusable.SignedBuffer())
	hidden := by(nostr.KindDHTList, 9, bare.Tags...)
	hidden.Content = bare.Content
	hidden.ID = hidden.Hash()

	all := []string{dht, nip65, nip78}
	for name, tc := range map[string]struct {
		event nostr.Event
		want  []string
	}{
		"onion addresses":                   {by(nostr.KindRelayList, 9, onion), []string{dht, nip78}},
		"a private address and a web page":  {by(nostr.KindRelayList, 9, private, nostr.Tag{"r", "https://x.example"}), []string{dht, nip78}},
		"more tags than any user has":       {by(nostr.KindRelayList, 9, many...), []string{dht, nip78}},
		"no tags":                           {by(nostr.KindRelayList, 9), []string{dht, nip78}},
		"an older one of onion addresses":   {by(nostr.KindRelayList, -9, onion), all},
		"app data of onion addresses":       {by(nostr.KindAppData, 9, nostr.Tag{"d", "relays"}, onion, data.Tags[2]), []string{dht, nip65}},
		"a record of private addresses":     {hidden, []string{nip65, nip78}},
		"deleted by address":                {by(nostr.KindDeletion, 9, a(10002, alice, "")), []string{dht, nip78}},
		"deleted in the same second":        {by(nostr.KindDeletion, 0, a(10002, alice, "")), []string{dht, nip78}},
		"deleted by address, with some d":   {by(nostr.KindDeletion, 9, a(10002, alice, "x")), []string{dht, nip78}},
		"deleted by id":                     {by(nostr.KindDeletion, 9, nostr.Tag{"e", id1}, e(first)), []string{dht, nip78}},
		"app data deleted by address":       {by(nostr.KindDeletion, 9, a(30078, alice, "relays")), []string{dht, nip65}},
		"other app data deleted by address": {by(nostr.KindDeletion, 9, a(30078, alice, "theme")), all},
		"the record deleted by address":     {by(nostr.KindDeletion, 9, a(11011, alice, "")), []string{nip65, nip78}},
		"the record deleted by id":          {by(nostr.KindDeletion, 9, e(record)), []string{nip65, nip78}},
		"all of them deleted":               {by(nostr.KindDeletion, 9, e(record), e(first), e(data)), nil},
		"deleted before":                    {by(nostr.KindDeletion, -1, a(10002, alice, ""), a(11011, alice, "")), all},
		"another's list deleted":            {by(nostr.KindDeletion, 9, a(10002, bob, "")), all},
		"nothing deleted":                   {by(nostr.KindDeletion, 9, nostr.Tag{"e"}, nostr.Tag{"a", "10002"}), all},
		"vanished from all relays":          {by(nostr.KindVanish, 9, from("wss://x.example"), from("ALL_RELAYS")), nil},
		"vanished from one":                 {by(nostr.KindVanish, 9, from("wss://x.example")), all},
		"vanished before":                   {by(nostr.KindVanish, -1, from("ALL_RELAYS")), all},
	} {
		b := newBench(t, Policy{})
		links := &memory[contract.Link]{values: map[string]contract.Link{}}
		b.Links, b.Records = links, &memory[contract.Record]{values: map[string]contract.Record{}}
		b.Mentions = true
		linked := func() (urls []string) {
			for _, l := range links.values {
				urls = append(urls, l.URL)
			}
			slices.Sort(urls)
			return slices.Compact(urls)
		}
		links.values[contract.LinkKey(nostr.RelayKey(hint), alice)] = contract.Link{URL: hint, Via: map[string]int64{contract.ViaHint: 0}}
		for _, e := range []nostr.Event{record, first, data} {
			if _, v := b.handle(e, 1); !v.IsDone() {
				t.Fatalf("kind %d: %s", e.Kind, v.Reason())
			}
		}
		if got := linked(); !slices.Equal(got, all) {
			t.Fatalf("links are %v, want %v", got, all)
		}
		// The second attempt is for a worker that died over the first.
		before := maps.Clone(links.values)
		for attempt := range 2 {
			b.handle(tc.event, attempt+1)
			if got := linked(); !slices.Equal(got, tc.want) {
				t.Errorf("%s, attempt %d: links are %v, want %v", name, attempt+1, got, tc.want)
			}
			maps.Copy(links.values, before)
		}
		// What is over comes back with no copy that is late.
		maps.DeleteFunc(links.values, func(string, contract.Link) bool { return true })
		for _, e := range []nostr.Event{tc.event, record, first, data} {
			b.handle(e, 2)
		}
		if got := linked(); !slices.Equal(got, tc.want) {
			t.Errorf("%s, and the lists again: links are %v, want %v", name, got, tc.want)
		}
	}
}

// A list that is unusable is told as such, and is in force; so is one that comes
// after a deletion.
func TestAListAfterOneThatIsOver(t *testing.T) {
	const one, two = "wss://one.example", "wss://two.example"
	for name, over := range map[string]nostr.Event{
		"unusable": by(nostr.KindRelayList, 1, nostr.Tag{"r", "ws://a.onion"}),
		"deleted":  by(nostr.KindDeletion, 1, nostr.Tag{"a", fmt.Sprintf("%d:%s:", nostr.KindRelayList, alice)}),
		"vanished": by(nostr.KindVanish, 1, nostr.Tag{"relay", "ALL_RELAYS"}),
	} {
		b := newBench(t, Policy{})
		links := &memory[contract.Link]{values: map[string]contract.Link{}}
		b.Links = links
		if _, v := b.handle(over, 1); v.IsReject() != (name == "unusable") {
			t.Errorf("%s: %v, %s", name, v, v.Reason())
		}
		b.handle(by(nostr.KindRelayList, 0, nostr.Tag{"r", one}), 1)
		if len(links.values) > 0 {
			t.Errorf("%s: the list before is in force when it comes late: %v", name, links.values)
		}
		b.handle(by(nostr.KindRelayList, 2, nostr.Tag{"r", two}), 1)
		if _, found := links.values[contract.LinkKey(nostr.RelayKey(two), alice)]; !found || len(links.values) != 1 {
			t.Errorf("%s: after the next list links are %v", name, links.values)
		}
	}
}
