package deny

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// List is what is denied. It is not changed after it is made, so that any number
// of goroutines may ask it. A nil List denies nothing.
type List struct {
	size  int
	keys  map[string]bool // public keys and DHT keys, hex
	ids   map[string]bool // of events, hex
	kinds map[int]bool
	hosts map[string]bool // names and addresses, as in a normalised URL, without brackets
	words []string        // folded, see fold
}

// NewList makes a list of entries.
func NewList(entries ...Entry) *List {
	l := &List{
		size: len(entries), keys: map[string]bool{}, ids: map[string]bool{}, kinds: map[int]bool{}, hosts: map[string]bool{},
	}
	for _, e := range entries {
		switch e.What {
		case Key:
			l.keys[e.Value] = true
		case ID:
			l.ids[e.Value] = true
		case Kind:
			kind, _ := strconv.Atoi(e.Value) // checked by ParseEntry
			l.kinds[kind] = true
		case Host:
			l.hosts[plain(e.Value)] = true
		case Word:
			l.words = append(l.words, e.Value)
		}
	}
	return l
}

// Empty reports whether nothing is denied.
func (l *List) Empty() bool { return l == nil || l.size == 0 }

// Keys are the denied keys.
func (l *List) Keys() (keys []string) {
	if l != nil {
		for key := range l.keys {
			keys = append(keys, key)
		}
	}
	return keys
}

// Key reports whether a public key or a DHT key, in hex, is denied.
func (l *List) Key(key string) bool { return l != nil && l.keys[key] }

// ID reports whether an event id is denied.
func (l *List) ID(id string) bool { return l != nil && l.ids[id] }

// Relay reports whether the host of a relay is denied, or one above it
// (example.com denies relay.example.com). The relay is a normalised URL or a
// multiaddr.
func (l *List) Relay(relay string) bool {
	if l == nil || len(l.hosts) == 0 {
		return false
	}
	if strings.HasPrefix(relay, "/") {
		for _, part := range strings.Split(relay, "/") {
			if l.host(part) {
				return true
			}
		}
		return false
	}
	u, err := url.Parse(relay)
	return err == nil && l.host(u.Hostname())
}

// Relays returns those of the relays that are not denied.
func (l *List) Relays(relays []string) []string {
	if l.Empty() {
		return relays
	}
	var left []string
	for _, url := range relays {
		if !l.Relay(url) {
			left = append(left, url)
		}
	}
	return left
}

func (l *List) host(host string) bool {
	host = plain(strings.TrimSuffix(strings.ToLower(host), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return l.hosts[host]
	}
	for found := host != ""; found; _, host, found = strings.Cut(host, ".") {
		if l.hosts[host] {
			return true
		}
	}
	return false
}

// plain is how an address is compared, however it is written; names stay as they are.
func plain(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return nostr.UnmapAddr(addr).WithZone("").String()
	}
	return host
}

// Event returns what is denied of an event: its key, id or kind, a word in its
// content or tags, or the same of an event that it repeats (NIP-18, NIP-57); "" if
// nothing is. The event need not be verified.
func (l *List) Event(e *nostr.Event) What {
	switch {
	case l.Empty():
		return ""
	case l.keys[e.PubKey]:
		return Key
	case l.ids[e.ID]:
		return ID
	case l.kinds[e.Kind]:
		return Kind
	case l.says(e):
		return Word
	}
	if inner, ok := e.Repeated(); ok {
		if inner.Kind == nostr.KindRepost || inner.Kind == nostr.KindGenericRepost {
			inner.Content = "" // what a repost of a repost repeats is text, which was searched
		}
		return l.Event(&inner)
	}
	return ""
}

// says reports whether a denied word is in the content or a tag.
func (l *List) says(e *nostr.Event) bool {
	if len(l.words) == 0 {
		return false
	}
	if l.word(fold(e.Content)) {
		return true
	}
	for _, t := range e.Tags {
		for i := 1; i < len(t); i++ {
			if l.word(fold(t[i])) {
				return true
			}
		}
	}
	return false
}

func (l *List) word(text string) bool {
	for _, word := range l.words {
		if contains(text, word) {
			return true
		}
	}
	return false
}
