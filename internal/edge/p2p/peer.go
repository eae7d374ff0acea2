package p2p

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"sync"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// FrameLimit is the largest negentropy message, in bytes before hex, that
// HORNETS relays make, and that they are sent here.
const FrameLimit = negentropy.MinFrameLimit

const (
	// maxTransfers is how many streams move events to or from a peer.
	maxTransfers = 2
	// uploadEvents and uploadBytes bound one upload.
	uploadEvents = 200
	uploadBytes  = 1 << 20
)

// Peer is a relay that is reached by libp2p. All methods may be called at once.
// Sessions have a stream each, and events travel in two more.
type Peer struct {
	host *Host
	addr Address

	transfers chan struct{} // slots
	uploads   uploads

	mu   sync.Mutex
	idle []*stream // of transfers
	shut bool
}

// Peer returns the peer at an address, which is dialled when it is first
// needed. [Peer.Close] ends what it is used for.
func (h *Host) Peer(at Address) *Peer {
	return &Peer{host: h, addr: at, transfers: make(chan struct{}, maxTransfers)}
}

// Session is a comparison that goes on with a peer.
type Session struct {
	using sync.Mutex
	s     *stream
}

// Open begins a comparison of what matches the filter, which must have no
// limit, and returns the peer's first answer.
func (p *Peer) Open(ctx context.Context, filter nostr.Filter, first []byte) (*Session, []byte, error) {
	s, err := p.host.open(ctx, p.addr)
	if err != nil {
		return nil, nil, interrupted(err)
	}
	answer, err := s.open(ctx, filter, first)
	if err != nil {
		s.reset()
		return nil, nil, err
	}
	return &Session{s: s}, answer, nil
}

// Exchange sends a message and returns the peer's answer.
func (s *Session) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	s.using.Lock()
	defer s.using.Unlock()
	return s.s.ask(ctx, kindMsg, hex.EncodeToString(msg))
}

// Close ends the session at both sides; it may be called at any time.
func (s *Session) Close() {
	if !s.using.TryLock() {
		s.s.reset() // which ends the exchange that is under way
		return
	}
	defer s.using.Unlock()
	s.s.bye()
}

// open sends NEG-OPEN.
func (s *stream) open(ctx context.Context, filter nostr.Filter, first []byte) ([]byte, error) {
	return s.ask(ctx, kindOpen, string(nostr.Encode(filter)), idBytes, hex.EncodeToString(first))
}

// ask sends a message that is answered by NEG-MSG.
func (s *stream) ask(ctx context.Context, kind string, elements ...any) (answer []byte, err error) {
	err = s.during(ctx, func() error {
		if err := s.out.message(kind, elements...); err != nil {
			return err
		}
		if err := s.expect(kindMsg); err != nil {
			return err
		}
		answer, err = s.hex()
		return err
	})
	return answer, err
}

// expect takes the beginning of an answer.
func (s *stream) expect(want string) error {
	kind, err := s.next()
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	case kind == kindErr:
		why, err := s.in.text(maxReason)
		if err != nil {
			return err
		}
		return &RefusedError{clip(why)}
	case kind != want:
		return malformed("a %q where a %s is due", clip(kind), want)
	}
	return nil
}

// during does what is done in a stream, which is reset if ctx ends meanwhile.
func (s *stream) during(ctx context.Context, do func() error) error {
	stop := s.until(ctx)
	err := do()
	if !stop() && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return interrupted(err)
}

// bye ends the stream as the protocol wants it, if the peer listens.
func (s *stream) bye() {
	s.timing.idle = min(s.timing.idle, patience)
	if err := s.out.message(kindClose); err != nil {
		s.reset()
		return
	}
	_ = s.raw.Close() // nothing is expected any more
}

// transfer does something in a stream that no one else uses, and keeps it for
// the next one unless it failed.
func (p *Peer) transfer(ctx context.Context, do func(*stream) error) error {
	select {
	case p.transfers <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-p.transfers }()
	s, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	if err := s.during(ctx, func() error { return do(s) }); err != nil {
		s.reset()
		return err
	}
	p.release(s)
	return nil
}

// acquire returns an idle stream, or a new one. HORNETS wants to be opened a
// session before anything else: this one is about nothing.
func (p *Peer) acquire(ctx context.Context) (*stream, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return s, nil
	}
	p.mu.Unlock()
	s, err := p.host.open(ctx, p.addr)
	if err != nil {
		return nil, interrupted(err)
	}
	nothing := nostr.Filter{IDs: []string{negentropy.ID{}.String()}}
	set := negentropy.NewReconciler(negentropy.NewVector(nil), negentropy.Options{})
	if _, err := s.open(ctx, nothing, set.Initiate()); err != nil {
		s.reset()
		return nil, err
	}
	return s, nil
}

func (p *Peer) release(s *stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		s.bye()
		p.host.hangUp(p.addr.info.ID)
		return
	}
	p.idle = append(p.idle, s)
}

// Fetch yields those of the events that the peer has, verified, in its order.
// Breaking off costs a stream.
func (p *Peer) Fetch(ctx context.Context, ids []string) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		broken := false
		err := p.transfer(ctx, func(s *stream) error {
			return s.fetch(ids, func(e nostr.Event) error {
				if !yield(e, nil) {
					broken = true
					return errBroken
				}
				return nil
			})
		})
		if err != nil && !broken {
			yield(nostr.Event{}, err)
		}
	}
}

var errBroken = errors.New("broken off")

// fetch asks for events by id.
func (s *stream) fetch(ids []string, take func(nostr.Event) error) error {
	want := make(map[string]bool, len(ids))
	for _, id := range ids {
		want[id] = true
	}
	if err := s.out.message(kindNeed, string(nostr.Encode(ids))); err != nil {
		return err
	}
	if err := s.expect(kindHave); err != nil {
		return err
	}
	var j validator
	err := s.in.elements(nostr.MaxEventBytes, func(text []byte) error {
		e, ok, err := j.event(text, func(e *nostr.Event) error {
			if !want[e.ID] {
				return errUnwanted
			}
			delete(want, e.ID)
			return nil
		})
		if err != nil || !ok {
			return err
		}
		return take(e)
	})
	if err != nil {
		return err
	}
	return s.in.end()
}

// Close ends the idle streams, and the connection to the peer unless a session
// or a transfer still goes on in it.
func (p *Peer) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.shut = nil, true
	p.mu.Unlock()
	for _, s := range idle {
		s.reset()
	}
	p.host.hangUp(p.addr.info.ID)
}
