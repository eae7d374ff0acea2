package stage

import (
	"cmp"
	"slices"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Ending is an author's word that lists of theirs are over: a deletion (NIP-09),
// or a request to vanish from all relays (NIP-62).
type Ending struct {
	At        int64           // Unix seconds; by address, what is later stays
	IDs       []string        // of the events that carried the lists
	Addresses []nostr.Address // of those, all of the author
	All       bool            // every list of theirs up to then
}

// EndLists ends the lists of an author that an ending names, and reports whether
// there are such. In the place of each stands one that has ended
// ([contract.List.Ended]), also where no list is known yet, since the one that is
// over may come later from a relay that has not heard.
//
// The versions of lists for the DHT are no times: such a list is as old as the
// event that carried it, or, if it was looked up, the author's word for its key.
func EndLists(pubkey string, a contract.Author, over Ending) (contract.Author, bool) {
	ended := false
	for _, via := range []string{contract.ViaNIP65, contract.ViaNIP78, contract.ViaDHT} {
		list, known := a.Lists[via]
		byID := known && list.ID != "" && slices.Contains(over.IDs, list.ID)
		named := over.All || slices.Contains(over.Addresses, addressOf(pubkey, via, list))
		if via == contract.ViaDHT {
			named = named && known && cmp.Or(list.At, a.DHTKeyAt) <= over.At
		}
		end := contract.List{Version: over.At, D: list.D}
		switch {
		case !byID && !named:
			continue
		case via == contract.ViaDHT:
			end.Version, end.Key = list.Version, a.DHTKey
			if named {
				end.At = over.At
			}
		case !named:
			end.Version = list.Version
		case byID:
			end.Version = max(over.At, list.Version)
		}
		var newer bool
		a, newer = LearnList(a, via, end)
		ended = ended || newer
	}
	return a, ended
}

// addressOf returns the address of the event that carries a list of an author.
func addressOf(pubkey, via string, l contract.List) nostr.Address {
	kind := map[string]int{
		contract.ViaNIP65: nostr.KindRelayList, contract.ViaDHT: nostr.KindDHTList, contract.ViaNIP78: nostr.KindAppData,
	}[via]
	return nostr.Address{Kind: kind, PubKey: pubkey, D: l.D}
}
