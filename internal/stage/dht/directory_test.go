package dht

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// slots is a network that holds nothing but the slots of a directory.
type slots map[int]string

var errSilent = errors.New("no node answers")

func (n slots) Get(_ context.Context, _ [32]byte, salt []byte) (bep44.Item, int, bool, error) {
	for slot, text := range n {
		if string(bep44.HornetsDirectorySalt(slot)) == string(salt) {
			return bep44.Item{Value: bep44.EncodeString([]byte(text))}, 8, true, nil
		}
	}
	if n == nil {
		return bep44.Item{}, 0, false, errSilent
	}
	return bep44.Item{}, 0, false, nil
}

func (slots) Put(context.Context, bep44.Item, []Node, How) (Found, error) {
	panic("a search puts nothing")
}

// search returns what the slots name, as text, and which relays were asked.
func search(t *testing.T, n slots, count int) (entries, probed []string) {
	t.Helper()
	var mu sync.Mutex
	signed := func(name string) (contract.Relay, error) {
		if strings.Contains(name, "unsigned") {
			return contract.Relay{}, errors.New("no signature")
		}
		return contract.Relay{Name: name, Hornets: &contract.Hornets{}}, nil
	}
	d := Directory{
		Network: n,
		Probe: func(_ context.Context, url string) (contract.Relay, error) {
			mu.Lock()
			defer mu.Unlock()
			probed = append(probed, url)
			return signed(url)
		},
		Read: func(document []byte) (contract.Relay, error) { return signed(string(document)) },
	}
	err := d.Search(t.Context(), bep44.HornetsDirectoryKey, count, func(e DirectoryEntry) {
		entries = append(entries, strings.TrimSpace(fmt.Sprintf("%d %s %.40s", e.Slot, e.Relay.Name, e.Why)))
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(entries)
	slices.Sort(probed)
	return entries, probed
}

func TestDirectoryTakesOnlyPublicRelaysWhoseDocumentIsSigned(t *testing.T) {
	entries, probed := search(t, slots{
		0: "wss://Relay.example.com/",
		1: `["wss://relay.example.com","wss://unsigned.example.com","wss://10.0.0.1","http://web.example.com"]`,
		2: `{"name":"signed"}`,
		3: `{"name":"unsigned"}`,
		4: "",
		5: `["wss://relay.example.com",7]`,
		6: "ws://localhost:7777",
		8: "wss://beyond.example.com",
	}, 8)
	want := []string{
		"1  no signature",
		`1  relay url "http://web.example.com": sche`,
		`1  relay url "wss://10.0.0.1": leads into a`,
		`2 {"name":"signed"}`,
		"3  no signature",
		"4  the slot holds no text",
		"5  bep44: relay list is not a JSON array of",
		`6  relay url "ws://localhost:7777": a name`,
	}
	// One of two slots with the same relay is the first to ask.
	entries = slices.DeleteFunc(entries, func(e string) bool { return strings.HasSuffix(e, "wss://relay.example.com") })
	if !slices.Equal(entries, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(entries, "\n"), strings.Join(want, "\n"))
	}
	if !slices.Equal(probed, []string{"wss://relay.example.com", "wss://unsigned.example.com"}) {
		t.Errorf("asked %v", probed)
	}
}

func TestDirectoryAsksABoundedNumberOfRelays(t *testing.T) {
	n := slots{}
	for i := range 2 * maxProbed {
		n[i] = fmt.Sprintf("wss://relay%d.example.com", i)
	}
	entries, probed := search(t, n, len(n))
	if len(entries) != 2*maxProbed || len(probed) != maxProbed {
		t.Errorf("%d entries, %d relays asked", len(entries), len(probed))
	}
}

func TestDirectorySaysThatTheDHTIsSilent(t *testing.T) {
	d := Directory{Network: slots(nil)}
	if err := d.Search(t.Context(), bep44.HornetsDirectoryKey, 3, nil); !errors.Is(err, errSilent) {
		t.Errorf("got %v", err)
	}
}
