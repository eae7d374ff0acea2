package deflate

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// Measure has the meter measure what comes over a connection once it is taken
// over from the HTTP server.
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
	return taken{conn, counted{conn, w.m}}, buffered, nil
}

// taken is a connection whose reading is counted.
type taken struct {
	net.Conn

	from io.Reader
}

func (c taken) Read(p []byte) (int, error) { return c.from.Read(p) }
