package gateway

import (
	"net"
	"sync"
	"time"
)

const (
	smallBuffer = 1 << 10
	largeBuffer = 32 << 10
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// source reads a connection. It holds a small buffer while nothing comes, since
// most connections are idle, and a large one while much does.
type source struct {
	conn   net.Conn
	before func() error // is called before it waits
	stall  time.Duration

	buf      []byte // buf[r:w] is what has come and was not taken
	r, w     int
	full     bool // the last read filled the buffer
	large    *[largeBuffer]byte
	small    [smallBuffer]byte
	deadline bool // one is set
}

func newSource(conn net.Conn, came []byte, stall time.Duration) *source {
	s := &source{conn: conn, stall: stall}
	s.buf = s.small[:]
	if len(came) > len(s.buf) {
		s.buf = make([]byte, len(came))
	}
	s.w = copy(s.buf, came)
	return s
}

// take returns the next n bytes, until it is called again. mid says that they
// belong to a message of which something has come: they have to follow soon.
func (s *source) take(n int, mid bool) ([]byte, error) {
	for s.w-s.r < n {
		if err := s.fill(n, mid || s.r < s.w); err != nil {
			return nil, err
		}
	}
	s.r += n
	return s.buf[s.r-n : s.r], nil
}

// soon reports whether the next n bytes have come within a time, and leaves them
// where they are.
func (s *source) soon(n int, within time.Duration) (bool, error) {
	begun := time.Now()
	for s.w-s.r < n {
		if err := s.fill(n, true); err != nil {
			return false, err
		}
		if time.Since(begun) > within {
			return false, nil
		}
	}
	return true, nil
}

// peek is take that leaves the bytes where they are.
func (s *source) peek(n int, mid bool) ([]byte, error) {
	b, err := s.take(n, mid)
	if err == nil {
		s.r -= n
	}
	return b, err
}

// some returns from 1 to n bytes, as they come.
func (s *source) some(n int64) ([]byte, error) {
	if s.r == s.w {
		if err := s.fill(1, true); err != nil {
			return nil, err
		}
	}
	n = min(n, int64(s.w-s.r))
	s.r += int(n)
	return s.buf[s.r-int(n) : s.r], nil
}

// fill reads more, with the aim of n bytes.
func (s *source) fill(n int, mid bool) error {
	if err := s.before(); err != nil {
		return err
	}
	s.fit(n)
	if mid != s.deadline || mid {
		var until time.Time
		if mid {
			until = time.Now().Add(s.stall)
		}
		if err := s.conn.SetReadDeadline(until); err != nil {
			return err
		}
		s.deadline = mid
	}
	got, err := s.conn.Read(s.buf[s.w:])
	s.w += got
	s.full = s.w == len(s.buf)
	if got > 0 {
		return nil // an error comes again
	}
	return err
}

// fit moves what was not taken to the begin of a buffer with more space, which
// grows with what has come and not with what a header promises.
func (s *source) fit(n int) {
	rest := s.buf[s.r:s.w]
	held := s.large
	switch {
	case len(rest) >= largeBuffer && len(rest) == len(s.buf):
		s.buf, s.large = make([]byte, min(n, 2*len(rest))), nil
	case s.large == nil && (s.full || n > smallBuffer) && len(rest) < largeBuffer:
		s.large = largeBuffers.Get().(*[largeBuffer]byte)
		s.buf = s.large[:]
	case !s.full && n <= smallBuffer && len(rest) < smallBuffer:
		s.buf, s.large = s.small[:], nil
	}
	s.w = copy(s.buf, rest)
	s.r = 0
	if held != nil && s.large != held {
		largeBuffers.Put(held)
	}
}

// close gives the buffer back.
func (s *source) close() {
	if s.large != nil {
		largeBuffers.Put(s.large)
		s.large = nil
	}
	s.buf, s.r, s.w = nil, 0, 0
}
