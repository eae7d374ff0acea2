package homerelay

import (
	"crypto/rand"
	"errors"
	"net/url"
	"strings"

	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxAuthed bounds the keys that one connection proves to hold.
const maxAuthed = 16

// demandAuth sends the connection's challenge (NIP-42).
func (c *client) demandAuth() {
	if c.challenge == "" {
		c.challenge = rand.Text()
	}
	c.tell("AUTH", c.challenge)
}

func (c *client) onAuth(m message) {
	e, err := m.event()
	if err == nil && !nostr.IsHex(e.ID, 32) {
		err = errors.New("id is not 64 lower-case hex digits")
	}
	if err != nil {
		c.tell("NOTICE", "invalid: "+err.Error())
		return
	}
	if err := c.checkAuth(e); err != nil {
		c.tell("OK", e.ID, false, "invalid: "+err.Error())
		return
	}
	c.authed[e.PubKey] = true
	c.tell("OK", e.ID, true, "")
}

// checkAuth says why the event does not prove that the client holds its key.
func (c *client) checkAuth(e *gonostr.Event) error {
	now := c.relay.store.now().Unix()
	at := int64(e.CreatedAt)
	switch {
	case e.Kind != gonostr.KindClientAuthentication:
		return errors.New("kind is not 22242")
	case c.challenge == "" || e.Tags.FindWithValue("challenge", c.challenge) == nil:
		return errors.New("challenge is not the one of this connection")
	case !c.isThisRelay(e.Tags.Find("relay")):
		return errors.New("relay is another one")
	case at < now-authWindow || at > now+authWindow:
		return errors.New("created_at is more than ten minutes off")
	case len(c.authed) == maxAuthed:
		return errors.New("too many keys on one connection")
	case !e.CheckID():
		return errors.New("id is not the hash of the event")
	}
	if ok, err := e.CheckSignature(); err != nil || !ok {
		return errors.New("sig is not the author's signature of the id")
	}
	return nil
}

// isThisRelay compares the relay tag with the host that the client dialled: an
// event made for another relay must not open this one. Headers of proxies play
// no part, since the client can set them.
func (c *client) isThisRelay(tag gonostr.Tag) bool {
	if tag == nil {
		return false
	}
	u, err := url.Parse(tag[1])
	return err == nil && strings.EqualFold(u.Host, c.host)
}
