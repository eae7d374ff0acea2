package natsd

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/relaymesh/relaymesh/internal/ownfile"
)

// setAsideTorn sets aside the states of consumers below the data directory that a
// loss of power has torn. The server syncs them never: it writes a file anew and
// renames it. With such a state it makes no consumer, neither at its start nor
// when it is told to, or takes for done what is not. Without one the consumer
// begins with what is in its stream, which of a queue is all that is not done.
func setAsideTorn(dir string, log *slog.Logger) {
	states, _ := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "obs", "*", "o.dat")) // fails by the pattern only
	for _, path := range states {
		state, err := os.ReadFile(path)
		if err != nil || !torn(state) {
			continue // the server says more of a file that cannot be read
		}
		_, err = ownfile.SetAside(path)
		log.Warn("the state of a consumer is damaged, as after a loss of power, and set aside: what it had in work comes again",
			"path", path, "err", err)
	}
}

// torn reports whether the state of a consumer is not as the server (2.15,
// encodeConsumerState) has written it. An empty one is none, and one of another
// version is left to the server.
func torn(state []byte) bool {
	const magic, version = 22, 2
	switch {
	case len(state) == 0:
		return false
	case len(state) < 2 || state[0] != magic:
		return true
	case state[1] != version:
		return false
	}
	r := varints{rest: state[2:]}
	r.unsigned()                              // the sequence of the consumer below which all is done
	done := r.unsigned()                      // the same of the stream
	r.unsigned()                              // the last sequence of the consumer
	last := r.unsigned()                      // and of the stream
	if pending := r.unsigned(); pending > 0 { // in work
		r.signed() // the time to which the others are relative
		for ; pending > 0 && r.err == nil; pending-- {
			if seq := r.unsigned(); seq == 0 || done+seq > last {
				return true
			}
			r.unsigned()
			r.signed()
		}
	}
	for again := r.unsigned(); again > 0 && r.err == nil; again-- { // delivered more than once
		r.unsigned()
		r.unsigned()
	}
	return r.err != nil || len(r.rest) > 0
}

// varints reads numbers until one cannot be read.
type varints struct {
	rest []byte
	err  error
}

var errCut = errors.New("ends within a number")

func (r *varints) unsigned() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skip(n)
	return v
}

func (r *varints) signed() { _, n := binary.Varint(r.rest); r.skip(n) }

func (r *varints) skip(n int) {
	if n <= 0 {
		r.rest, r.err = nil, errCut
		return
	}
	r.rest = r.rest[n:]
}
