package relay

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// NegSession is one NIP-77 session. It carries negentropy messages and knows
// nothing about them: message and answer alternate, so one goroutine uses it
// at a time. khatru drops a session 7 s after its last message: answer at
// once, and move events elsewhere.
type NegSession struct {
	id     string
	conn   *Conn
	frames chan []byte   // the one answer that may be outstanding
	ended  chan struct{} // closed when the relay ended the session
	once   sync.Once
	err    error // why; read after ended is closed
	closed sync.Once

	// Conn.mu guards these; see again.
	last   []byte // the message that waits for its answer
	resent bool
}

// Open opens a session about the events that match the filter and
// returns the relay's first answer; an empty answer says that nothing remains.
// Neither side's events flow in the session: use [Conn.Query] and
// [Conn.Publish].
//
// Errors, besides those of the connection: reconcile.ErrNoNegentropy when the relay does
// not speak NIP-77 (it may say so by NEG-ERR, CLOSED or a NOTICE, or not at
// all: reconcile.ErrTimeout), reconcile.ErrTooLarge when the filter must be split by time,
// ErrAuthRequired, or another [*reconcile.RefusedError]. The filter's limit must be 0:
// relays differ in what it means here.
func (c *Conn) Open(ctx context.Context, filter nostr.Filter, initial []byte) (reconcile.Session, []byte, error) {
	filter.Limit = 0
	c.afterIntroduction(ctx)
	then := c.identity()
	s, answer, err := c.openNeg(ctx, filter, initial)
	again := func() (err error) {
		s, answer, err = c.openNeg(ctx, filter, initial)
		return err
	}
	if err == nil && c.askedSince(then) {
		s.Close()
		_ = c.authenticate(ctx) // the relay decides again what it shows
		err = again()
	} else {
		err = c.afterAuth(ctx, err, again)
	}
	if err == nil && c.identity().succeeded > 0 && showsNothing(initial, answer) {
		s.Close() // so that no session holds a slot while it waits for another one
		if err = c.shows(ctx, filter); err == nil {
			err = again()
		}
	}
	if err != nil {
		return nil, nil, named{c.url, fmt.Errorf("negentropy: %w", err)}
	}
	return s, answer, nil
}

// listAll asks for the ids of a whole set, by saying that we have none.
var listAll = []byte{0x61, 0, 0, 2, 0}

// showsNothing reports whether an answer is that of a relay without any event.
func showsNothing(initial, answer []byte) bool {
	if len(initial) < 2 {
		return false // no question
	}
	nobody := negentropy.NewReconciler(negentropy.NewVector(nil), negentropy.Options{})
	nothing, err := nobody.Respond(initial)
	return err == nil && bytes.Equal(nothing, answer)
}

// shows checks that a session shows what a REQ gives: strfry opens sessions about
// kinds that it keeps for their parties to those who have said who they are, and
// fills them as for strangers. Otherwise the error is reconcile.ErrNoNegentropy.
func (c *Conn) shows(ctx context.Context, filter nostr.Filter) error {
	found := false
	filter.Limit = 1
	for e, err := range c.Query(ctx, filter) {
		if err != nil {
			return err
		}
		found, filter.Since, filter.Until = true, e.CreatedAt, e.CreatedAt
		break
	}
	if !found {
		return nil
	}
	filter.Limit = 0
	s, answer, err := c.openNeg(ctx, filter, listAll)
	if err != nil {
		return err
	}
	s.Close()
	if len(answer) < len(negentropy.ID{}) {
		return fmt.Errorf("%w: its sessions show nothing of what it gives for a REQ", reconcile.ErrNoNegentropy)
	}
	return nil
}

func (c *Conn) openNeg(ctx context.Context, filter nostr.Filter, initial []byte) (*NegSession, []byte, error) {
	if err := c.acquire(ctx, c.negSlots); err != nil {
		return nil, nil, err
	}
	s := &NegSession{id: c.nextID("n"), conn: c, frames: make(chan []byte, 1), ended: make(chan struct{})}
	answer, err := s.open(ctx, filter, initial)
	if err == nil && len(answer) == 1 && answer[0] != listAll[0] { // of the highest version that it speaks
		err = fmt.Errorf("%w: it speaks another version of the protocol, %#x", reconcile.ErrNoNegentropy, answer[0])
	}
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, answer, nil
}

// open sends NEG-OPEN. Sessions open one after the other, because relays
// refuse by NOTICE, which names no session.
func (s *NegSession) open(ctx context.Context, filter nostr.Filter, initial []byte) ([]byte, error) {
	c := s.conn
	if err := c.acquire(ctx, c.negOpening); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.negs[s.id], c.opening = s, s
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.opening = nil
		c.mu.Unlock()
		<-c.negOpening
	}()
	return s.exchange(ctx, "NEG-OPEN", s.id, filter, hex.EncodeToString(initial))
}

// Exchange sends a message and returns the relay's answer; an empty answer
// says that nothing remains. After an error the session is over;
// ErrSessionClosed says that it may be opened anew.
func (s *NegSession) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	answer, err := s.exchange(ctx, "NEG-MSG", s.id, hex.EncodeToString(msg))
	if err != nil {
		return nil, named{s.conn.url, fmt.Errorf("negentropy: %w", err)}
	}
	return answer, nil
}

func (s *NegSession) exchange(ctx context.Context, elements ...any) ([]byte, error) {
	c := s.conn
	msg := nostr.Message(elements...)
	c.mu.Lock()
	s.last = msg
	c.mu.Unlock()
	if err := c.send(ctx, msg); err != nil {
		return nil, err
	}
	wait := time.NewTimer(c.opts.timing.answer)
	defer wait.Stop()
	select {
	case frame := <-s.frames:
		return frame, nil
	case <-s.ended:
		// An answer that came before the end still counts.
		select {
		case frame := <-s.frames:
			return frame, nil
		default:
			return nil, s.err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ctx.Done():
		return nil, c.Err()
	case <-wait.C:
		return nil, reconcile.ErrTimeout
	}
}

// Close ends the session at both sides. It may be called again.
func (s *NegSession) Close() {
	s.closed.Do(func() {
		c := s.conn
		c.mu.Lock()
		_, open := c.negs[s.id]
		delete(c.negs, s.id)
		c.mu.Unlock()
		if open {
			c.tell("NEG-CLOSE", s.id)
		}
		c.touch()
		<-c.negSlots
	})
}

func (s *NegSession) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.ended)
	})
}
