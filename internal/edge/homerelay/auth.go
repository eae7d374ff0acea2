package homerelay

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxAuthed bounds the keys that one connection proves to hold.
const maxAuthed = 16

// hidden is the refusal of a request for private events, worded as the reason of a
// CLOSED or NEG-ERR.
const hidden = "auth-required: direct messages are for their parties (NIP-17)"

// demandAuth sends the connection's challenge (NIP-42).
func (c *client) demandAuth() {
	challenge, _ := c.challenge()
	c.tell("AUTH", challenge)
}

// offerAuth sends the challenge, once, to a stranger before the end of an answer that
// may lack what the filter asks for.
func (c *client) offerAuth(v *viewer, f nostr.Filter) {
	if c.relay.store.kinds != nil || !v.misses(f) { // a relay of certain kinds has no private ones
		return
	}
	if challenge, first := c.challenge(); first {
		c.tell("AUTH", challenge)
	}
}

// challenge returns the connection's challenge, which it makes the first time.
func (c *client) challenge() (text string, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if first = c.challenged == ""; first {
		c.challenged = rand.Text()
	}
	return c.challenged, first
}

func (c *client) onAuth(m message) {
	var e *nostr.Event
	var err error
	if !c.work(verifying+m.size, func() {
		if e, err = m.event(); err == nil {
			err = c.checkAuth(e)
		}
	}) {
		return
	}
	if err != nil {
		c.reject(e, "invalid: "+err.Error())
		return
	}
	if v := c.viewer.Load(); !slices.Contains(v.Keys, e.PubKey) {
		c.viewer.Store(&viewer{All: v.All, Keys: append(slices.Clone(v.Keys), e.PubKey)})
	}
	c.tell("OK", e.ID, true, "")
}

// checkAuth says why the event does not prove that the client holds its key.
func (c *client) checkAuth(e *nostr.Event) error {
	now := c.relay.store.now().Unix()
	c.mu.Lock()
	challenge := c.challenged
	c.mu.Unlock()
	switch {
	case e.Kind != nostr.KindAuth:
		return errors.New("kind is not 22242")
	case challenge == "" || e.Tag("challenge").At(1) != challenge:
		return errors.New("challenge is not the one of this connection")
	case !c.isThisRelay(e.Tag("relay").At(1)):
		return fmt.Errorf("relay is another one than %s", c.relay.store.urls[0])
	case e.CreatedAt < now-authWindow || e.CreatedAt > now+authWindow:
		return errors.New("created_at is more than ten minutes off")
	case len(c.viewer.Load().Keys) == maxAuthed:
		return errors.New("too many keys on one connection")
	}
	return schnorr.Verify(e)
}

// isThisRelay decides about the URL of a relay tag: an event made for another relay,
// which may have passed our challenge on, must not open this one. Clients choose the
// header Host, too, so beside our own URLs it counts only if it is no host that a
// relay of strangers can have. The path plays no part, and neither does the scheme,
// which a proxy may have changed.
func (c *client) isThisRelay(relay string) bool {
	host := hostOf(relay)
	if host == "" {
		return false
	}
	if slices.ContainsFunc(c.relay.store.urls, func(own string) bool { return hostOf(own) == host }) {
		return true
	}
	return host == hostOf("ws://"+c.host) && !ofStrangers(host)
}

// ofStrangers reports whether a relay of strangers can have a host, be it in an
// overlay network.
func ofStrangers(host string) bool {
	u := url.URL{Scheme: "ws", Host: host}
	u.Host = strings.TrimSuffix(host, ":"+u.Port())
	_, err := nostr.NormalizeRelayURL(u.String(), false)
	return err == nil || strings.HasSuffix(u.Host, ".onion") || strings.HasSuffix(u.Host, ".i2p")
}

// hostOf returns the host of a relay's URL, with its port unless that is the scheme's
// own, or "".
func hostOf(relay string) string {
	normal, err := nostr.NormalizeRelayURL(relay, true)
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(normal, "://")
	return rest[:strings.IndexAny(rest+"/", "/?")]
}

// ownURLs are the URLs by which the relay that listens there is known for sure, with
// that of a proxy, if there is one.
func ownURLs(listening net.Addr, public string) []string {
	var urls []string
	raw := []string{public, "ws://" + listening.String()}
	if at, ok := listening.(*net.TCPAddr); ok && (at.IP.IsLoopback() || at.IP.IsUnspecified()) {
		port := strconv.Itoa(at.Port)
		raw = append(raw, "ws://127.0.0.1:"+port, "ws://[::1]:"+port, "ws://localhost:"+port)
	}
	for _, one := range raw {
		if url, err := nostr.NormalizeRelayURL(one, true); err == nil {
			urls = append(urls, url)
		}
	}
	return urls
}
