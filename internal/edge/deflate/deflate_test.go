package deflate

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
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
		{"uncompressed", 4 << 20, 4 << 20, 20, 0, 0},
		{"a few events of one letter", 600, 64 << 10, 100, 0, 0},
		{"bombs", 4 << 10, 4 << 20, 256, 29 * time.Second, 31 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Hour) // the limiter has filled up
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
