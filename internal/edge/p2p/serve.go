package p2p

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/p2p/node"
	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// batchEvents and batchBytes are how much of an upload is handed on at once.
	batchEvents = 100
	batchBytes  = 1 << 20
	// batchIDs is how many events are looked up at once.
	batchIDs = 100
	// maxNeeded and maxMessages bound the ids of one request, and the messages
	// of one session.
	maxNeeded   = 100_000
	maxMessages = 100_000
	// maxOpens and maxNeededAll bound what a session has the relay do: each
	// comparison begins a session there.
	maxOpens     = 1000
	maxNeededAll = 1_000_000
	// maxUploaded is how many events of a session are remembered, so that each is
	// taken once.
	maxUploaded = 20_000
)

// patience is how long a peer has to take in that its session is over.
const patience = 5 * time.Second

// Responder answers one incoming session, for the relay that the peer syncs
// with through us. One goroutine uses it. An error ends the session; the peer is
// told of it what a [ToldError] says, and no more.
type Responder interface {
	// Open begins a comparison of the events that match, and ends the one
	// before; Answer answers a negentropy message of it.
	Open(filter nostr.Filter)
	Answer(ctx context.Context, msg []byte) ([]byte, error)
	// Read passes on those of the events that the relay has and the peer may
	// have.
	Read(ctx context.Context, ids []negentropy.ID, add func(nostr.Event) error) error
	// Write writes events, which are verified, to the relay.
	Write(ctx context.Context, batch []nostr.Event) error
	// Close frees what the session holds.
	Close()
}

// errEvicted ends a session of an address that has more than others.
var errEvicted = errors.New("its slot is given to an address that has fewer")

// serve serves a stream until it ends; begun is called when it is a session.
func (h *Host) serve(s *stream, begun func()) {
	id, addr := s.raw.Conn().RemotePeer().String(), node.Network(s.raw.Conn().RemoteMultiaddr())
	log := h.opts.Log.With("peer", id)
	ctx, cancel := context.WithTimeoutCause(h.ctx, h.opts.timing.total, malformed("the session takes longer than %s", h.opts.timing.total))
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	leave, why := h.serving.enter(addr, id, time.Now(), func() { end(errEvicted) })
	if why != "" {
		log.Debug("refused a session", "err", why)
		s.refuse(why)
		return
	}
	defer leave()
	begun()
	defer s.until(ctx)()
	in := incoming{stream: s, uploaded: recent.Map[negentropy.ID, struct{}]{Size: maxUploaded}}
	err := h.answer(ctx, &in, id)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		level := slog.LevelDebug
		if errors.Is(err, reconcile.ErrMisbehaving) {
			level = slog.LevelInfo
			h.serving.offend(addr, id, time.Now())
		}
		log.Log(ctx, level, "dropped a peer", "err", err, "messages", in.messages, "events", in.validator.good, "refused", in.validator.bad)
		s.refuse(reason(err))
		return
	}
	_ = s.raw.Close() // both sides are done
}

// reason is what a peer is told of an error: nothing about our own network.
func reason(err error) string {
	told := (*ToldError)(nil)
	switch {
	case errors.As(err, &told):
		return told.Words
	case errors.Is(err, reconcile.ErrMisbehaving), errors.Is(err, reconcile.ErrInterrupted):
		return err.Error()
	}
	return "error: the session could not be served"
}

// ToldError ends a session with words for the peer.
type ToldError struct {
	Words string
	Err   error // for our log
}

func (e *ToldError) Error() string { return e.Err.Error() }

// ours takes its meaning from an error of the relay that we answer for: not the
// peer was interrupted or misbehaves.
func ours(err error) error {
	if err == nil || errors.As(err, new(*ToldError)) {
		return err
	}
	return errors.New(err.Error())
}

// refuse tells the peer why its session ends, if it listens.
func (s *stream) refuse(why string) {
	s.timing.idle = min(s.timing.idle, patience)
	if s.out.torn || s.out.message(kindErr, reconcile.Clip(why)) != nil || s.raw.CloseWrite() != nil {
		s.reset()
		return
	}
	// A reset could overtake the message.
	_ = s.raw.SetReadDeadline(time.Now().Add(patience))
	_, _ = io.CopyN(io.Discard, s.raw, maxHex)
	_ = s.raw.Close() // both sides are done
}

func (h *Host) answer(ctx context.Context, in *incoming, id string) error {
	responder, err := h.responder(ctx, id)
	if err != nil {
		return ours(err)
	}
	defer responder.Close()
	in.Responder = responder
	return in.run(ctx)
}

// incoming is a session that a peer has begun.
type incoming struct {
	*stream
	Responder // of the session

	validator validator
	messages  int
	opens     int
	needed    int // ids, of all requests
	uploaded  recent.Map[negentropy.ID, struct{}]
}

// run answers messages in their order until the peer is done.
func (in *incoming) run(ctx context.Context) error {
	for ; in.messages < maxMessages; in.messages++ {
		kind, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case kind == kindClose:
			return in.in.end()
		case kind != kindOpen && in.opens == 0:
			return malformed("a %s before NEG-OPEN", kind)
		}
		switch kind {
		case kindOpen:
			err = in.open(ctx)
		case kindMsg:
			err = in.message(ctx)
		case kindHave:
			err = in.receive(ctx)
		case kindNeed:
			err = in.send(ctx)
		default:
			err = malformed("unknown kind of message %q", kind)
		}
		if err != nil {
			return err
		}
	}
	return malformed("more than %d messages in a session", maxMessages)
}

// open takes the filter of a NEG-OPEN, and answers what else it says.
func (in *incoming) open(ctx context.Context) error {
	text, err := in.in.text(maxFilter)
	if err != nil {
		return err
	}
	var filter nostr.Filter
	if err := json.Unmarshal([]byte(text), &filter); err != nil {
		return malformed("NEG-OPEN: %w", err)
	}
	if _, err := in.in.text(maxKind); err != nil {
		return err
	}
	if in.opens++; in.opens > maxOpens {
		return malformed("more than %d times NEG-OPEN in a session", maxOpens)
	}
	filter.Limit = 0
	in.Open(filter)
	return in.message(ctx)
}

// message answers a negentropy message.
func (in *incoming) message(ctx context.Context) error {
	msg, err := in.hex()
	if err != nil {
		return err
	}
	// No relay is shown what is malformed: some of them crash.
	if _, err := negentropy.NewReconciler(negentropy.NewVector(nil), negentropy.Options{FrameLimit: FrameLimit}).Respond(msg); err != nil {
		return malformed("%w", err)
	}
	answer, err := in.Answer(ctx, msg)
	if err != nil {
		return ours(err)
	}
	return in.out.message(kindMsg, hex.EncodeToString(answer))
}

// hex reads the last element of a message, a negentropy message.
func (s *stream) hex() ([]byte, error) {
	text, err := s.in.text(maxHex)
	if err != nil {
		return nil, err
	}
	msg, err := hex.DecodeString(text)
	if err != nil {
		return nil, malformed("a message that is not hex")
	}
	return msg, s.in.end()
}

// receive takes an upload, a batch at a time.
func (in *incoming) receive(ctx context.Context) error {
	var batch []nostr.Event
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := in.Write(ctx, batch)
		batch, size = nil, 0
		return ours(err)
	}
	err := in.in.elements(nostr.MaxEventBytes, func(text []byte) error {
		e, ok, err := in.validator.event(text, in.unseen)
		if err != nil || !ok {
			return err
		}
		batch = append(batch, e)
		if size += len(text); len(batch) >= batchEvents || size >= batchBytes {
			return flush()
		}
		return nil
	})
	// What came whole is taken, even if the rest never comes.
	if err := errors.Join(err, flush()); err != nil {
		return err
	}
	return in.in.end()
}

// unseen wants an event that the session has not brought before.
func (in *incoming) unseen(e *nostr.Event) error {
	id, err := negentropy.ParseID(e.ID)
	if err != nil {
		return err
	}
	if _, again := in.uploaded.LoadOrStore(id, struct{}{}); again {
		return errAgain
	}
	return nil
}

var errAgain = errors.New("event: it came before")

// send answers a request with one list of the events, however many batches of
// ids it takes to find them.
func (in *incoming) send(ctx context.Context) error {
	return in.out.list(kindHave, func(add func(any) error) error {
		var ids []negentropy.ID
		count := 0
		flush := func() error {
			if len(ids) == 0 {
				return nil
			}
			err := in.Read(ctx, ids, func(e nostr.Event) error { return add(e) })
			ids = ids[:0]
			return ours(err)
		}
		err := in.in.elements(maxKind+2*len(negentropy.ID{}), func(text []byte) error {
			var word string
			if err := json.Unmarshal(text, &word); err != nil {
				return malformed("NEG-NEED: not a list of ids")
			}
			id, err := negentropy.ParseID(word)
			if err != nil {
				return malformed("NEG-NEED: %w", err)
			}
			if count++; count > maxNeeded {
				return malformed("NEG-NEED: more than %d ids", maxNeeded)
			}
			if in.needed++; in.needed > maxNeededAll {
				return malformed("NEG-NEED: more than %d ids in a session", maxNeededAll)
			}
			if ids = append(ids, id); len(ids) == batchIDs {
				return flush()
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := flush(); err != nil {
			return err
		}
		return in.in.end()
	})
}
