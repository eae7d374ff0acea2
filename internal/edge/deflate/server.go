package deflate

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
)

// Measure has the meter measure what comes over a connection once it is taken
// over from the HTTP server, whose buffers it replaces by smaller ones.
func (m *Meter) Measure(w http.ResponseWriter) http.ResponseWriter { return measured{w, m} }

// inflating is what reading a compressed message takes, in bytes.
const inflating = 44 << 10

// Memory is what a connection of a server takes for decompression while a message
// comes, in bytes, after w has answered the handshake.
func Memory(w http.ResponseWriter) int {
	if w.Header().Get(extensions) == "" {
		return 0
	}
	return inflating
}

type measured struct {
	http.ResponseWriter

	m *Meter
}

// Hijack takes the connection over.
func (w measured) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	from := io.Reader(counted{conn, w.m})
	if early, _ := buffered.Peek(buffered.Reader.Buffered()); len(early) > 0 {
		_ = w.m.Came(len(early)) // nothing was wasted before
		from = io.MultiReader(bytes.NewReader(bytes.Clone(early)), from)
	}
	c := taken{conn, from}
	return c, bufio.NewReadWriter(bufio.NewReaderSize(c, buffer), bufio.NewWriterSize(c, buffer)), nil
}

// buffer is for a few small messages, in bytes; larger ones need none.
const buffer = 1 << 10

// taken is a connection whose reading is counted.
type taken struct {
	net.Conn

	from io.Reader
}

func (c taken) Read(p []byte) (int, error) { return c.from.Read(p) }
