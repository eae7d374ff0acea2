package deflate

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
)

// ErrUnknown says that a server agreed to a compression that was not offered: it
// is to be dialled without an offer.
var ErrUnknown = errors.New("the server agrees to a compression that was not offered")

const (
	extensions = "Sec-WebSocket-Extensions"
	name       = "permessage-deflate"
	forgetful  = "client_no_context_takeover"
)

// Offer has the websockets that a client dials offer compression, and the meter
// measure what comes. The websocket library must have context takeover switched
// on: that our side does without, it is told here, since it knows only both sides
// or neither.
func (m *Meter) Offer(c *http.Client) *http.Client {
	with := *c
	with.Transport = offer{c.Transport, m}
	return &with
}

type offer struct {
	http.RoundTripper

	m *Meter
}

// RoundTrip is one handshake; its error may be [ErrUnknown].
func (o offer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set(extensions, name+"; "+forgetful)
	resp, err := o.RoundTripper.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	agreed := strings.Join(resp.Header.Values(extensions), ",")
	if agreed != "" {
		if !known(agreed) {
			resp.Body.Close()
			return nil, ErrUnknown
		}
		// A server need not repeat it: a client may always forget (RFC 7692, 7.1.1.2).
		resp.Header.Set(extensions, agreed+"; "+forgetful)
	}
	if conn, ok := resp.Body.(io.ReadWriteCloser); ok {
		resp.Body = counted{conn, o.m}
	}
	return resp, nil
}

// known reports whether an agreement is one that the websocket library can keep.
// It reads whatever window a server writes with.
func known(agreed string) bool {
	parts := strings.Split(agreed, ";")
	for i, p := range parts {
		parts[i] = strings.TrimSpace(p)
	}
	unknown := slices.ContainsFunc(parts[1:], func(p string) bool {
		return p != forgetful && p != "server_no_context_takeover" && !strings.HasPrefix(p, "server_max_window_bits=")
	})
	return parts[0] == name && !unknown
}
