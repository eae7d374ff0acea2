package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	defaultEndpoint = "http://localhost:4318"
	defaultTimeout  = 10 * time.Second
	// retryWait comes between two tries of a request that may be repeated
	// (OTLP/HTTP, Retryable Response Codes), unless the receiver says how long.
	retryWait    = time.Second
	longestRetry = 5 * time.Second
	tries        = 3
)

// client is an otlptrace.Client: it posts spans.
type client struct {
	url    string
	shown  string // url without a password
	header http.Header
	gzip   bool
	http   *http.Client
}

// newClient reads OTEL_EXPORTER_OTLP_*. Its errors name the variable.
func newClient() (*client, error) {
	if p := setting("PROTOCOL"); p != "" && p != "http/protobuf" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: %q: only http/protobuf is spoken; receivers take it on port 4318", p)
	}
	c := &client{header: http.Header{}, http: &http.Client{Timeout: defaultTimeout}}
	// The variable for traces is the whole URL, that for all signals is not.
	c.url = os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if c.url == "" {
		base := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
		if base == "" {
			base = defaultEndpoint
		}
		c.url = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	u, err := url.Parse(c.url)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT: want an http or https URL, such as http://collector:4318")
	}
	c.shown = u.Redacted()
	if text := setting("TIMEOUT"); text != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms <= 0 {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT: %q is no number of milliseconds", text)
		}
		c.http.Timeout = time.Duration(ms) * time.Millisecond
	}
	switch how := setting("COMPRESSION"); how {
	case "", "none":
	case "gzip":
		c.gzip = true
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_COMPRESSION: %q is neither gzip nor none", how)
	}
	if err := c.readHeaders(setting("HEADERS")); err != nil {
		return nil, err
	}
	return c, c.readCertificates()
}

// readHeaders reads key=value pairs, separated by commas, whose values are
// percent-encoded. Values may be secrets, so no error shows them.
func (c *client) readHeaders(list string) error {
	for pair := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil {
			return errors.New("OTEL_EXPORTER_OTLP_HEADERS: want key=value,key=value with percent-encoded values")
		}
		c.header.Set(strings.TrimSpace(key), value)
	}
	return nil
}

func (c *client) readCertificates() error {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := setting("CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %s holds no certificate in PEM", file)
		}
	}
	if file := setting("CLIENT_CERTIFICATE"); file != "" {
		own, err := tls.LoadX509KeyPair(file, setting("CLIENT_KEY"))
		if err != nil {
			return fmt.Errorf("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: %w", err)
		}
		conf.Certificates = []tls.Certificate{own}
	}
	transport, _ := http.DefaultTransport.(*http.Transport)
	transport = transport.Clone()
	transport.TLSClientConfig = conf
	c.http.Transport = transport
	return nil
}

// Start does nothing.
func (c *client) Start(context.Context) error { return nil }

// Stop closes idle connections.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces posts spans, three times at most, until ctx ends.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// Its bytes are those of an ExportTraceServiceRequest, whose package links
	// gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	if c.gzip {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(body) // a buffer takes everything
		_ = w.Close()
		body = b.Bytes()
	}
	for try := 1; ; try++ {
		wait, err := c.post(ctx, body)
		if err == nil || wait == 0 || try == tries {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// post posts once. again is when the same may be tried again, 0 for never.
func (c *client) post(ctx context.Context, body []byte) (again time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	for key, values := range c.header {
		req.Header[key] = values
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if c.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return retryWait, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = retryWait
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
			again = min(time.Duration(s)*time.Second, longestRetry)
		}
	}
	if resp.StatusCode/100 != 2 {
		return again, fmt.Errorf("%s answers %s", c.shown, resp.Status)
	}
	return 0, nil
}
