package stage

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
)

const mallory, keyA, keyB = "mallory", "key a", "key b"

var sig = strings.Repeat("03", 64) // of a list that was looked up, as its id

func TestLearnListNeverGoesBack(t *testing.T) {
	a := contract.Author{DHTKey: keyA}
	for _, tc := range []struct {
		l    contract.List
		want bool
	}{
		{contract.List{Version: 5, ID: id2}, true},
		{contract.List{Version: 4, ID: id1}, false},
		{contract.List{Version: 5, ID: id2}, false},
		{contract.List{Version: 5, ID: id1}, true}, // NIP-01: the lower id wins a tie
		{contract.List{Version: 5, ID: id2}, false},
		{contract.List{Version: 6, ID: id2}, true},
	} {
		var took bool
		if a, took = LearnList(a, contract.ViaNIP65, tc.l); took != tc.want {
			t.Errorf("%+v: taken is %t", tc.l, took)
		}
	}
	if _, took := LearnList(a, contract.ViaDHT, contract.List{Version: 1, Key: keyA}); !took {
		t.Error("a list of another source is ordered by that source's versions")
	}
}

func TestLearnListComparesNoSeqsOfTwoKeys(t *testing.T) {
	a := contract.Author{DHTKey: keyA, Lists: map[string]contract.List{contract.ViaDHT: {Version: 5, Key: keyA, ID: id1}}}
	if _, took := LearnList(a, contract.ViaDHT, contract.List{Version: 1 << 53, Key: keyB}); took {
		t.Error("a list of another key takes the place of the author's by its seq")
	}
	a.DHTKey = keyB
	if _, took := LearnList(a, contract.ViaDHT, contract.List{Version: 1, Key: keyB}); !took {
		t.Error("a list of the key that the author named waits for the seq of the one before")
	}
	a.Lists[contract.ViaDHT] = contract.List{Version: 1 << 53, ID: id1} // of an earlier version
	if _, took := LearnList(a, contract.ViaDHT, contract.List{Version: 1, Key: keyB}); !took {
		t.Error("a list of which nobody knows the key stays")
	}
}

func TestOnlyWhatAnAuthorSignsUnderTheKeyThatTheyNameIsTheirList(t *testing.T) {
	for name, tc := range map[string]struct {
		by   string
		list contract.List
		own  bool
	}{
		"their key":                           {alice, contract.List{Version: 1, Key: keyA, ID: sig}, true},
		"the key before":                      {alice, contract.List{Version: 1, Key: keyB, ID: id1}, false},
		"a stranger's word":                   {mallory, contract.List{Version: 1, Key: keyA, ID: sig}, false},
		"a producer's word":                   {"", contract.List{Version: 1, Key: keyA, ID: sig}, false},
		"before keys were kept, of an event":  {alice, contract.List{Version: 1, ID: id1}, true},
		"before keys were kept, looked up":    {alice, contract.List{Version: 1, ID: sig}, false},
		"before keys were kept, a stranger's": {mallory, contract.List{Version: 1, ID: sig}, false},
	} {
		a := contract.Author{
			DHTKey: keyA, DHTKeyBy: tc.by,
			Lists: map[string]contract.List{contract.ViaDHT: tc.list, contract.ViaNIP65: {Version: 1}},
		}
		lists := maps.Clone(a.Lists)
		if _, own := OwnLists(alice, a).Lists[contract.ViaDHT]; own != tc.own {
			t.Errorf("%s: theirs is %t", name, own)
		}
		if _, own := OwnLists(alice, a).Lists[contract.ViaNIP65]; !own || len(a.Lists) != len(lists) {
			t.Errorf("%s: other lists go, or the caller's: %v", name, a.Lists)
		}
	}
}

func TestAKeyIsLaterByTheAuthorsOwnWord(t *testing.T) {
	by := func(key, who string, at int64) contract.Author {
		return contract.Author{DHTKey: key, DHTKeyBy: who, DHTKeyAt: at}
	}
	for name, tc := range map[string]struct {
		was, is contract.Author
		want    bool
	}{
		"any after none":                {contract.Author{}, by(keyA, mallory, 1), true},
		"none after any":                {by(keyA, mallory, 1), contract.Author{}, false},
		"their word after a stranger's": {by(keyA, mallory, 9), by(keyB, alice, 1), true},
		"what a stranger said before":   {by(keyA, mallory, 9), by(keyA, alice, 1), true},
		"a stranger's after theirs":     {by(keyA, alice, 1), by(keyB, mallory, 9), false},
		"their later word":              {by(keyA, alice, 1), by(keyB, alice, 2), true},
		"their earlier word":            {by(keyA, alice, 2), by(keyB, alice, 1), false},
		"the same said again":           {by(keyA, alice, 1), by(keyA, alice, 2), false},
	} {
		if got := LaterKey(alice, tc.was, tc.is); got != tc.want {
			t.Errorf("%s: later is %t", name, got)
		}
	}
}

func TestAThirdPartysWordIsNothingBesideTheAuthors(t *testing.T) {
	list := map[string]contract.List{contract.ViaNIP65: {}}
	for _, tc := range []struct {
		author contract.Author
		want   []string
	}{
		{contract.Author{}, nil},
		{contract.Author{DHTKey: keyA, DHTKeyBy: mallory}, nil},
		{contract.Author{DHTKey: keyA, DHTKeyBy: alice}, []string{contract.ViaClaim}},
		{contract.Author{DHTKey: keyA, DHTKeyBy: mallory, Lists: list}, []string{contract.ViaClaim, contract.ViaHint}},
		{contract.Author{Lists: list}, []string{contract.ViaClaim, contract.ViaHint}}, // an empty list is a word, too
	} {
		if got := overruled(alice, tc.author); !slices.Equal(got, tc.want) {
			t.Errorf("%+v: %v, want %v", tc.author, got, tc.want)
		}
	}
}
