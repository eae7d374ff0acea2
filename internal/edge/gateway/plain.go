package gateway

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	infoType = "application/nostr+json"
	// maxInfo is how large a NIP-11 document is that we add to.
	maxInfo = 256 << 10
)

// newPlain passes on what is no websocket: the NIP-11 document, with our facts in
// it, and whatever else the relay serves by HTTP.
func (g *Gateway) newPlain(c Config) http.Handler {
	facts := nostr.Encode(map[string]any{
		"software": "https://github.com/relaymesh/relaymesh", "version": c.Version,
		"completes": c.Fetch != nil, "wait_ms": c.Wait.Milliseconds(),
	})
	transport := &http.Transport{
		MaxIdleConnsPerHost: 16, IdleConnTimeout: idleTimeout, ResponseHeaderTimeout: g.patience.handshake, DisableCompression: true,
	}
	context.AfterFunc(g.ctx, transport.CloseIdleConnections)
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL, r.Out.Host = g.target(r.In.URL), r.In.Host
			g.forward(r.Out.Header, r.In)
			if wantsInfo(r.In) {
				r.Out.Header.Del("Accept-Encoding")
			}
		},
		Transport: transport,
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode != http.StatusOK || !wantsInfo(resp.Request) || resp.Request.Method != http.MethodGet {
				return nil
			}
			return addFacts(resp, facts)
		},
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "the relay does not answer", http.StatusBadGateway)
		},
	}
}

func wantsInfo(req *http.Request) bool { return strings.Contains(req.Header.Get("Accept"), infoType) }

// addFacts adds what the gateway is to a NIP-11 document, which otherwise stays as
// it is: the rest is what the relay says of itself. What is none stays altogether.
func addFacts(resp *http.Response, facts []byte) error {
	start, err := io.ReadAll(io.LimitReader(resp.Body, maxInfo+1))
	if err != nil {
		return err
	}
	rest := resp.Body
	if doc, ok := withFacts(start, facts); ok && len(start) <= maxInfo {
		rest.Close()
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(doc)), int64(len(doc))
		resp.Header.Set("Content-Length", strconv.Itoa(len(doc)))
		resp.Header.Del("Etag")
		return nil
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), rest), rest}
	return nil
}

// withFacts adds a field to a JSON object that has none of that name.
func withFacts(doc, facts []byte) ([]byte, bool) {
	fields, err := nostr.Decode[map[string]any](doc)
	if _, has := fields["relaymesh_gateway"]; err != nil || fields == nil || has {
		return nil, false
	}
	text := bytes.TrimRight(doc, " \t\r\n")
	text = bytes.TrimRight(bytes.TrimSuffix(text, []byte{'}'}), " \t\r\n")
	out := bytes.Clone(text)
	if len(fields) > 0 {
		out = append(out, ',')
	}
	out = append(out, `"relaymesh_gateway":`...)
	return append(append(out, facts...), '}'), true
}
