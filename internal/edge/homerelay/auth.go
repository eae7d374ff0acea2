package homerelay

import (
	"crypto/rand"
	"errors"
	"net/url"
	"slices"
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
	if c.challenge == "" {
		c.challenge = rand.Text()
	}
	c.tell("AUTH", c.challenge)
}

func (c *client) onAuth(m message) {
	e, err := m.event()
	if err == nil {
		err = c.checkAuth(e)
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
	switch {
	case e.Kind != nostr.KindAuth:
		return errors.New("kind is not 22242")
	case c.challenge == "" || firstValue(e, "challenge") != c.challenge:
		return errors.New("challenge is not the one of this connection")
	case !c.isThisRelay(firstValue(e, "relay")):
		return errors.New("relay is another one")
	case e.CreatedAt < now-authWindow || e.CreatedAt > now+authWindow:
		return errors.New("created_at is more than ten minutes off")
	case len(c.viewer.Load().Keys) == maxAuthed:
		return errors.New("too many keys on one connection")
	}
	return schnorr.Verify(e)
}

// isThisRelay compares the URL of a relay tag with the host that the client dialled: an
// event made for another relay must not open this one. Headers of proxies play
// no part, since the client can set them.
func (c *client) isThisRelay(relay string) bool {
	u, err := url.Parse(relay)
	return err == nil && strings.EqualFold(u.Host, c.host)
}
