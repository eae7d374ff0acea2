package p2p

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// timing holds the waits of a stream; tests shorten them.
type timing struct {
	dial  time.Duration // connection, handshake and negotiation together
	idle  time.Duration // until a message begins, or what we send is taken
	grace time.Duration // how long a message may take at least, see minRate
	total time.Duration // of an incoming session

	upload time.Duration // of events, with the dial and the answer
}

var defaultTiming = timing{
	dial: 15 * time.Second,
	// HORNETS reads its whole database for each request.
	idle: 3 * time.Minute, grace: 30 * time.Second, total: time.Hour,
	upload: 15 * time.Minute,
}

// minRate is the bytes a second below which a message of a peer drips.
const minRate = 4 << 10

// stream is a stream of messages with its time limits. One goroutine uses it at
// a time.
type stream struct {
	raw network.Stream
	in  *reader
	out *writer

	timing timing
	// Of the message that is being read: its bytes, about, and how long they
	// were waited for once it had begun.
	got    int64
	waited time.Duration
}

func newStream(raw network.Stream, t timing) *stream {
	s := &stream{raw: raw, timing: t}
	s.in, s.out = newReader(pacedReader{s}), newWriter(pacedWriter{s})
	return s
}

// next begins a message, see [reader.next].
func (s *stream) next() (kind string, err error) {
	s.got, s.waited = int64(s.in.in.Buffered()), 0
	return s.in.next()
}

// reset ends the stream for both sides, at once.
func (s *stream) reset() { _ = s.raw.Reset() } // it ends in any case

// until has the stream end with ctx, until stop is called, which reports
// whether the stream still stands.
func (s *stream) until(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, s.reset)
}

// pacedReader reads with a deadline: until a message begins the peer has
// timing.idle, for the rest what minRate allows. Only the time that is spent
// waiting counts.
type pacedReader struct{ *stream }

func (r pacedReader) Read(p []byte) (int, error) {
	begun, start, left := r.got > 0, time.Now(), r.timing.idle
	if begun {
		left = min(left, r.timing.grace+time.Duration(r.got)*time.Second/minRate-r.waited)
	}
	if err := r.raw.SetReadDeadline(start.Add(left)); err != nil {
		return 0, err
	}
	n, err := r.raw.Read(p)
	r.got += int64(n)
	took := time.Since(start)
	if begun {
		r.waited += took
	}
	switch {
	case err == nil || took < left:
		return n, err
	case begun:
		return n, malformed("a message drips: %d bytes in %s", r.got, r.waited.Round(time.Second))
	}
	return n, fmt.Errorf("%w: no message in %s", reconcile.ErrInterrupted, r.timing.idle)
}

// pacedWriter writes with a deadline for each buffer full.
type pacedWriter struct{ *stream }

func (w pacedWriter) Write(p []byte) (int, error) {
	if err := w.raw.SetWriteDeadline(time.Now().Add(w.timing.idle)); err != nil {
		return 0, err
	}
	return w.raw.Write(p)
}

var (
	_ io.Reader = pacedReader{}
	_ io.Writer = pacedWriter{}
)
