package gateway

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

const (
	// flushAt is how many bytes of messages are written at once, if so many are there.
	flushAt = 32 << 10
	// keptBuffer is how large a buffer is kept for others.
	keptBuffer = 2 * flushAt
)

// frames is a buffer of what is to be written. An idle connection has none.
type frames struct{ b []byte }

var framePool = sync.Pool{New: func() any { return new(frames) }}

// sink writes a connection. One goroutine passes on what comes from the other
// side; any may add messages.
type sink struct {
	conn     net.Conn
	compress bool // messages of ours and whole ones are compressed
	stall    time.Duration
	account  account // of what was added

	writing  sync.Mutex // held while the connection is written
	deadline time.Time  // of the connection

	mu        sync.Mutex
	out       *frames // to be written; nil for none
	streaming bool    // a message is begun, and what is added has to wait for its end
	waiting   []byte  // frames that wait
	owed      int     // bytes that the account gives back when all is written
}

// room returns the buffer of what is to be written; mu is held.
func (s *sink) room() *frames {
	if s.out == nil {
		s.out = framePool.Get().(*frames)
	}
	return s.out
}

// pass takes a whole frame of the goroutine that passes on. Of a message that is
// streamed it may come between two frames only.
func (s *sink) pass(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.room()
	out.b = append(out.b, frame...)
}

// stream takes a part of a message that is written before all of it is there.
func (s *sink) stream(part []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.room()
	out.b = append(out.b, part...)
	s.streaming = true
}

// end ends the message that is streamed.
func (s *sink) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streaming = false; s.waiting != nil {
		out := s.room()
		out.b = append(out.b, s.waiting...)
		s.waiting = nil
	}
}

// add takes a message to a client, of any goroutine. It does not wait. So many bytes
// were taken of the account for it.
func (s *sink) add(text []byte, taken int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed += taken
	if s.streaming {
		s.waiting = s.appendMessage(s.waiting, opText, text)
		return
	}
	out := s.room()
	out.b = s.appendMessage(out.b, opText, text)
}

// message takes a message to a client of the goroutine that passes on.
func (s *sink) message(op byte, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.room()
	out.b = s.appendMessage(out.b, op, data)
}

func (s *sink) appendMessage(b []byte, op byte, data []byte) []byte {
	if s.compress && len(data) >= compressed {
		return appendCompressed(b, op, data)
	}
	return append(appendHeader(b, header{first: bitFin | op, length: int64(len(data))}), data...)
}

// held is how many bytes wait to be written.
func (s *sink) held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.waiting)
	if s.out != nil {
		n += len(s.out.b)
	}
	return n
}

// flush writes what is there. A reader that takes too little of it in a minute
// loses the connection.
func (s *sink) flush() error {
	if s.held() == 0 {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	out, owed := s.out, 0
	s.out = nil
	if s.waiting == nil {
		owed, s.owed = s.owed, 0
	}
	s.mu.Unlock()
	if out == nil {
		return nil
	}
	defer func() {
		s.account.give(owed)
		if cap(out.b) <= keptBuffer {
			out.b = out.b[:0]
			framePool.Put(out)
		}
	}()
	for rest := out.b; len(rest) > 0; {
		if now := time.Now(); s.deadline.Sub(now) < s.stall/2 {
			s.deadline = now.Add(s.stall)
			if err := s.conn.SetWriteDeadline(s.deadline); err != nil {
				return err
			}
		}
		part := rest[:min(len(rest), keptBuffer)]
		if _, err := s.conn.Write(part); err != nil {
			return err
		}
		rest = rest[len(part):]
	}
	return nil
}

// forget gives back what was taken for messages that are not written any more.
func (s *sink) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.give(s.owed)
	s.owed = 0
}

// goAway says to a client that the server is going away (RFC 6455, 7.4.1), unless
// it is in the middle of a message.
func (s *sink) goAway() {
	const status = 1001
	s.mu.Lock()
	if !s.streaming {
		out := s.room()
		out.b = binary.BigEndian.AppendUint16(appendHeader(out.b, header{first: bitFin | opClose, length: 2}), status)
	}
	s.mu.Unlock()
	_ = s.flush() // a client that is gone needs no word
}
