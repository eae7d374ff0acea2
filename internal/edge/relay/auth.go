package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// authState is what a connection knows about NIP-42. Conn.mu guards all but
// one.
type authState struct {
	one       sync.Mutex    // held while an AUTH is under way
	arrived   chan struct{} // closed with the first challenge
	challenge string        // the latest
	answered  string        // the challenge that was answered last
	err       error         // how that went
	succeeded int           // how often the relay has said OK

	introduced chan struct{} // closed when the first challenge, which nobody had to ask for, was dealt with; nil before it
}

// introduction bounds how long requests wait for an AUTH that no refusal asked
// for.
const introduction = 5 * time.Second

// maxChallenge bounds what a relay has us sign and send back, in bytes.
const maxChallenge = 1 << 10

// challenged notes an AUTH challenge; a later one replaces it. The first is
// answered at once if there is a key: some relays leave events out without a
// word for those who have not said who they are. Later ones are answered when a
// refusal asks for it, so that a relay cannot make us sign time and again. It
// reports whether it is the first.
func (c *Conn) challenged(challenge string) (first bool) {
	if challenge == "" || len(challenge) > maxChallenge {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first = c.auth.challenge == ""; first {
		close(c.auth.arrived)
	}
	c.auth.challenge = challenge
	if c.opts.Auth == nil || c.auth.introduced != nil {
		return first
	}
	done := make(chan struct{})
	c.auth.introduced = done
	c.running.Go(func() {
		defer close(done)
		if err := c.authenticate(c.ctx); err != nil {
			c.log.Debug("couldn't answer a challenge", "err", err)
		}
	})
	return first
}

// afterIntroduction waits for the AUTH that is under way, if there is one.
func (c *Conn) afterIntroduction(ctx context.Context) {
	c.mu.Lock()
	introduced := c.auth.introduced
	c.mu.Unlock()
	if introduced == nil {
		return
	}
	select {
	case <-introduced:
		return
	default:
	}
	wait := time.NewTimer(introduction)
	defer wait.Stop()
	select {
	case <-introduced:
	case <-wait.C:
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
}

// identity is how far a relay has got in asking who we are.
type identity struct {
	challenge string // the latest
	succeeded int    // AUTHs
}

func (c *Conn) identity() identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	return identity{c.auth.challenge, c.auth.succeeded}
}

// askedSince reports whether a challenge came, or was answered, since then, and
// there is a key to answer it: what the relay said meanwhile may be for
// strangers.
func (c *Conn) askedSince(then identity) bool { return c.opts.Auth != nil && c.identity() != then }

// afterAuth asks again, once, if the error of what was asked is that the relay
// wants to know who we are, and there is a key.
func (c *Conn) afterAuth(ctx context.Context, err error, again func() error) error {
	if !reconcile.WantsAuth(err) || c.opts.Auth == nil {
		return err
	}
	if authErr := c.authenticate(ctx); authErr != nil {
		return fmt.Errorf("%w; %w", err, authErr)
	}
	return again()
}

// authenticate answers the relay's latest challenge, once: whoever comes while
// that is under way, or after it, shares the outcome. Relays may send the
// challenge after the refusal that asks for it, so it is waited for.
func (c *Conn) authenticate(ctx context.Context) error {
	wait := time.NewTimer(c.opts.timing.answer)
	defer wait.Stop()
	select {
	case <-c.auth.arrived:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return c.Err()
	case <-wait.C:
		return errors.New("authentication is required, but no challenge came")
	}
	c.auth.one.Lock()
	defer c.auth.one.Unlock()
	c.mu.Lock()
	challenge, answered, err := c.auth.challenge, c.auth.answered, c.auth.err
	c.mu.Unlock()
	if challenge == answered {
		return err
	}
	e := nostr.Event{
		CreatedAt: time.Now().Unix(),
		Kind:      nostr.KindAuth,
		Tags:      []nostr.Tag{{"relay", c.url}, {"challenge", challenge}},
	}
	if err = c.opts.Auth(&e); err == nil {
		var reply reconcile.Reply
		if reply, err = c.submit(ctx, "AUTH", e); err == nil && !reply.Kept() {
			err = reconcile.NewRefusal(reply.Reason)
		}
	}
	if err != nil {
		err = fmt.Errorf("authenticate: %w", err)
	}
	if ctx.Err() == nil {
		c.mu.Lock()
		if c.auth.answered, c.auth.err = challenge, err; err == nil {
			c.auth.succeeded++
		}
		c.mu.Unlock()
	}
	return err
}
