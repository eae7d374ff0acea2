package deflate

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

type wire struct{ bytes.Buffer }

func (*wire) Close() error { return nil }

// come has bytes come over the wire of a meter.
func come(t *testing.T, m *Meter, n int) {
	t.Helper()
	got, err := io.Copy(io.Discard, counted{&wire{*bytes.NewBuffer(make([]byte, n))}, m})
	if err != nil || got != int64(n) {
		t.Fatal(got, err)
	}
}

// fill makes the limiter that all connections share full, on the clock of the bubble.
func fill() { excess = rate.NewLimiter(ExcessPerSecond, ExcessPerSecond) }

// What comes and becomes no text ends the connection, and nothing else does.
func TestWhatInflatesToNothing(t *testing.T) {
	random := make([]byte, 1<<20)
	_, _ = rand.Read(random)
	deflated := func(level, flushEvery int) string {
		var out bytes.Buffer
		w, err := flate.NewWriter(&out, level)
		for part := range slices.Chunk(random, flushEvery) {
			_, wrong := w.Write(part)
			err = errors.Join(err, wrong, w.Flush())
		}
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for _, c := range []struct {
		name, stream string
		wasteful     bool
	}{
		{"incompressible", deflated(flate.BestSpeed, len(random)), false},
		{"stored", deflated(flate.NoCompression, 64<<10), false},
		{"flushed every 2 KiB", deflated(flate.BestSpeed, 2<<10), false},
		{"a little padding", strings.Repeat("\x02\x08\x20\x80\x00", 2000) + deflated(1, len(random)), false},
		{"flushed without any text", strings.Repeat("\x00\x00\x00\xff\xff", 100_000), true},
		{"blocks of fixed codes without any text", strings.Repeat("\x02\x08\x20\x80\x00", 100_000), true},
		{"a byte of text now and then", strings.Repeat(strings.Repeat("\x02\x08\x20\x80\x00", 100)+"\x00\x01\x00\xfe\xffx", 1000), true},
	} {
		m := &Meter{}
		from := &wire{*bytes.NewBufferString(c.stream)}
		n, err := io.Copy(io.Discard, m.Text(t.Context(), flate.NewReader(counted{from, m})))
		if errors.Is(err, ErrWasteful) != c.wasteful {
			t.Errorf("%s: %d bytes read, %v", c.name, n, err)
		}
		if read := len(c.stream) - from.Len(); c.wasteful && read > 2*maxWaste {
			t.Errorf("%s: ended after %d bytes on the wire", c.name, read)
		}
	}
}

// Pings and the headers of frames do not add up over a week, but in a minute.
func TestPingsAreForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Meter{}
		ping := func() error { return m.Came(2 + 4 + 125) }
		for end := time.Now().Add(7 * 24 * time.Hour); time.Now().Before(end); time.Sleep(10 * time.Second) {
			if err := ping(); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		for range 10_000 {
			err = errors.Join(err, ping())
		}
		if !errors.Is(err, ErrWasteful) {
			t.Error("pings are read without end")
		}
		fill()
		began := time.Now()
		for range 100 {
			m.Atone(t.Context(), err)
		}
		if took := time.Since(began); took < time.Second {
			t.Errorf("a hundred connections that wasted what they may took %s", took)
		}
	})
}

// All connections together read 32 MiB a second of what is far larger than it was
// on the wire, and as much as comes of all else.
func TestBombsAreReadSlowly(t *testing.T) {
	for _, c := range []struct {
		name            string
		onWire, message int
		messages        int
		least, most     time.Duration
	}{
		{"events", 300, 600, 50_000, 0, 0},
		{"uncompressed", 4 << 10, 4 << 10, 20_000, 0, 0},
		{"a few events of one letter", 600, 64 << 10, 100, 0, 0},
		{"bombs", 4 << 10, 4 << 20, 256, 29 * time.Second, 31 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			fill()
			var meters [4]Meter
			begun := time.Now()
			for i := range c.messages {
				m := &meters[i%len(meters)]
				come(t, m, c.onWire)
				if err := m.Read(t.Context(), c.message); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(begun); took < c.least || took > c.most {
				t.Errorf("%s: read in %s, want %s to %s", c.name, took, c.least, c.most)
			}
		})
	}
}

func TestMeterOfNoCompression(t *testing.T) {
	var m *Meter
	if err := m.Read(t.Context(), 1<<30); err != nil {
		t.Error(err)
	}
}

type answers http.Header

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header(a), Body: &wire{}}, nil
}

// Whatever a server answers, our side keeps no compressor; without an agreement
// there is none, and what was not offered is none.
func TestOurSideForgets(t *testing.T) {
	const forgets = "; client_no_context_takeover"
	for agreed, want := range map[string]string{
		"":                             "",
		"permessage-deflate":           "permessage-deflate" + forgets,
		"permessage-deflate" + forgets: "permessage-deflate" + forgets + forgets,
		"permessage-deflate;server_no_context_takeover":        "permessage-deflate;server_no_context_takeover" + forgets,
		"permessage-deflate; server_max_window_bits=10":        "permessage-deflate; server_max_window_bits=10" + forgets,
		"permessage-deflate; client_max_window_bits=10":        "unknown",
		"permessage-deflate; server_max_window_bits":           "unknown",
		"permessage-deflate; ":                                 "unknown",
		"permessage-deflate, permessage-deflate":               "unknown",
		"permessage-deflate; server_no_context_takeover, x":    "unknown",
		"permessage-bzip2":                                     "unknown",
		"x-webkit-deflate-frame; server_no_context_takeover=1": "unknown",
	} {
		header := http.Header{}
		if agreed != "" {
			header.Set(extensions, agreed)
		}
		client := new(Meter).Offer(&http.Client{Transport: answers(header)})
		resp, err := client.Get("http://relay.example.com")
		if want == "unknown" {
			if !errors.Is(err, ErrUnknown) {
				t.Errorf("%q: %v", agreed, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get(extensions); got != want {
			t.Errorf("%q is taken for %q, want %q", agreed, got, want)
		}
	}
}
