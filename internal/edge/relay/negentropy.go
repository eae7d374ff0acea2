package relay

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// resendAfter gives khatru the moment that it needs; see again.
const resendAfter = 5 * time.Millisecond

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

// OpenNegentropy opens a session about the events that match the filter and
// returns the relay's first answer; an empty answer says that nothing remains.
// Neither side's events flow in the session: use [Conn.Query] and
// [Conn.Publish].
//
// Errors, besides those of the connection: ErrNoNegentropy when the relay does
// not speak NIP-77 (it may say so by NEG-ERR, CLOSED or a NOTICE, or not at
// all: ErrTimeout), ErrTooLarge when the filter must be split by time,
// ErrAuthRequired, or another [*RefusedError]. The filter's limit must be 0:
// relays differ in what it means here.
func (c *Conn) OpenNegentropy(ctx context.Context, filter events.Filter, initial []byte) (*NegSession, []byte, error) {
	filter.Limit = 0
	s, answer, err := c.openNeg(ctx, filter, initial)
	if isAuthRequired(err) && c.opts.Auth != nil {
		if authErr := c.authenticate(ctx); authErr == nil {
			s, answer, err = c.openNeg(ctx, filter, initial)
		} else {
			err = fmt.Errorf("%w; %w", err, authErr)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("relay %s: negentropy: %w", c.url, err)
	}
	return s, answer, nil
}

func (c *Conn) openNeg(ctx context.Context, filter events.Filter, initial []byte) (*NegSession, []byte, error) {
	if err := c.acquire(ctx, c.negSlots); err != nil {
		return nil, nil, err
	}
	s := &NegSession{id: c.nextID("n"), conn: c, frames: make(chan []byte, 1), ended: make(chan struct{})}
	answer, err := s.open(ctx, filter, initial)
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, answer, nil
}

// open sends NEG-OPEN. Sessions open one after the other, because relays
// refuse by NOTICE, which names no session.
func (s *NegSession) open(ctx context.Context, filter events.Filter, initial []byte) ([]byte, error) {
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
		return nil, fmt.Errorf("relay %s: negentropy: %w", s.conn.url, err)
	}
	return answer, nil
}

func (s *NegSession) exchange(ctx context.Context, elements ...any) ([]byte, error) {
	c := s.conn
	msg, err := message(elements...)
	if err != nil {
		return nil, err
	}
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
		return nil, ErrTimeout
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

// negMessage takes a NEG-MSG. Two in a row are a breach: answers alternate
// with questions.
func (c *Conn) negMessage(id, text string) {
	c.mu.Lock()
	s := c.negs[id]
	c.mu.Unlock()
	if s == nil {
		return
	}
	frame, err := hex.DecodeString(text)
	if err != nil {
		c.removeNeg(s, fmt.Errorf("%w: NEG-MSG is not hex", ErrMisbehaving))
		return
	}
	select {
	case s.frames <- frame:
	default:
		c.removeNeg(s, fmt.Errorf("%w: two NEG-MSG in answer to one", ErrMisbehaving))
	}
}

// endNeg takes a NEG-ERR; one without an id is about every session.
func (c *Conn) endNeg(id string, why *RefusedError) {
	c.mu.Lock()
	var over []*NegSession
	for _, s := range c.negs {
		if s.id == id || id == "" {
			over = append(over, s)
		}
	}
	c.mu.Unlock()
	for _, s := range over {
		c.removeNeg(s, why)
	}
}

// again sends a session's last message once more and reports whether it does.
// khatru v0.19.1 answers NEG-OPEN before it has noted the session, so that a
// quick NEG-MSG meets NEG-ERROR "CLOSED"; a moment later it is welcome.
func (c *Conn) again(id, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.negs[id]
	if s == nil || s.resent || reason != "CLOSED" {
		return false
	}
	s.resent = true
	msg := s.last
	c.running.Go(func() {
		select {
		case <-time.After(resendAfter):
			_ = c.send(c.ctx, msg) // whoever waits for the answer notices
		case <-c.ctx.Done():
		}
	})
	return true
}

// endNegAsClosed takes a CLOSED that names a session: relays that know no
// NIP-77 may answer so. Unless the reason is about permission or size, that is
// what it means.
func (c *Conn) endNegAsClosed(id, reason string) {
	why := negRefusal(reason, 0)
	if why.kind == nil && why.Prefix != "restricted" && !tooBusy.MatchString(reason) {
		why.kind = ErrNoNegentropy
	}
	c.mu.Lock()
	s := c.negs[id]
	c.mu.Unlock()
	if s != nil {
		c.removeNeg(s, why)
	}
}

// noticeToNeg ends the session that is being opened if the notice reads like a
// refusal. A notice is never progress.
func (c *Conn) noticeToNeg(text string) {
	c.mu.Lock()
	s := c.opening
	c.mu.Unlock()
	if s == nil {
		return
	}
	why := negRefusal(text, 0)
	if why.kind == nil && !tooBusy.MatchString(text) {
		return // small talk
	}
	if errors.Is(why, ErrSessionClosed) {
		return
	}
	c.removeNeg(s, why)
}

func (c *Conn) removeNeg(s *NegSession, why error) {
	c.mu.Lock()
	delete(c.negs, s.id)
	c.mu.Unlock()
	s.end(why)
}
