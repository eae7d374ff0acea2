package stage

import (
	"cmp"
	"maps"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// OwnKey reports whether the DHT key of an author is known by their own word,
// and not by a third party's.
func OwnKey(pubkey string, a contract.Author) bool { return a.DHTKey != "" && a.DHTKeyBy == pubkey }

// OwnLists returns the author without a list for the DHT that is none of theirs:
// it counts only under the key that they named themselves, and named last.
//
// Earlier versions of relaymesh did not keep the key. What they took from an
// event of the author (its id is that of an event) is the author's word; what
// they looked up may be anybody's, and is looked up again.
func OwnLists(pubkey string, a contract.Author) contract.Author {
	list, found := a.Lists[contract.ViaDHT]
	if !found || OwnKey(pubkey, a) && (list.Key == a.DHTKey || list.Key == "" && nostr.IsHex(list.ID, 32)) {
		return a
	}
	a.Lists = maps.Clone(a.Lists)
	delete(a.Lists, contract.ViaDHT)
	return a
}

// LearnList puts a list of one source into an author, unless a newer one of
// that source is known, or the list is of another DHT key than theirs, or older
// than the author's word that their list for the DHT is over.
func LearnList(a contract.Author, via string, l contract.List) (contract.Author, bool) {
	if via == contract.ViaDHT && l.Key != a.DHTKey {
		return a, false // whatever its seq, which counts within one key
	}
	old, known := a.Lists[via]
	if known && old.Key == l.Key && (old.Version > l.Version || old.Version == l.Version && !before(l, old) || endedBy(old, l)) {
		return a, false
	}
	a.Lists = maps.Clone(a.Lists)
	if a.Lists == nil {
		a.Lists = map[string]contract.List{}
	}
	a.Lists[via] = l
	return a, true
}

// before reports whether a list stands of two that have one version: the one that
// has ended, which has no id, before one of an event, before one that was looked
// up and has a signature in place of the id, since only an event can be named by
// a deletion. Of two events that is the lower id (NIP-01); the same one once more
// has at most a time that was not kept before.
func before(l, old contract.List) bool {
	return cmp.Or(cmp.Compare(len(l.ID), len(old.ID)), cmp.Compare(l.ID, old.ID), cmp.Compare(old.At, l.At)) < 0
}

// endedBy reports whether a list for the DHT was over before it came: its seq
// counts for nothing against a deletion by address, which is about a time.
func endedBy(old, l contract.List) bool { return old.Ended() && l.At != 0 && l.At <= old.At }

// overruled returns the sources of third parties that are nothing beside an
// author's own word: a claim beside their own DHT key or any list of theirs, a
// hint beside a list.
func overruled(pubkey string, a contract.Author) []string {
	switch {
	case len(a.Lists) > 0:
		return []string{contract.ViaClaim, contract.ViaHint}
	case OwnKey(pubkey, a):
		return []string{contract.ViaClaim}
	}
	return nil
}

// LaterKey reports whether an author's DHT key as KV shows it came after the one
// that it was: any after none, by their own word after anybody's, by a later one
// after that. What is earlier comes from a copy of KV that lags.
func LaterKey(pubkey string, was, is contract.Author) bool {
	switch {
	case was.DHTKey == "":
		return is.DHTKey != ""
	case !OwnKey(pubkey, is) || !OwnKey(pubkey, was):
		return OwnKey(pubkey, is)
	}
	return is.DHTKey != was.DHTKey && is.DHTKeyAt > was.DHTKeyAt
}

// later reports whether an author as KV shows them has a later list of a source
// than was, or a later key that it must be of. Neither ever goes back, but in a
// copy of KV that lags.
func later(pubkey, via string, was, is contract.Author) bool {
	if via == contract.ViaDHT && was.DHTKey != is.DHTKey {
		return LaterKey(pubkey, was, is)
	}
	list, found := OwnLists(pubkey, is).Lists[via]
	_, newer := LearnList(was, via, list)
	return found && newer
}
