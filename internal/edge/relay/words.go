package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/dialguard"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// named says which relay an error is about, once, whatever it wraps.
type named struct {
	url string
	error
}

func (e named) Error() string { return "relay " + reconcile.Named(e.url, e.error) }
func (e named) Unwrap() error { return e.error }

// wordedError says in the operator's words what a library says in its own, which name
// its layers one after the other.
type wordedError struct {
	words string
	error
}

func (e wordedError) Error() string { return e.words }
func (e wordedError) Unwrap() error { return e.error }

// unconnected says why there is no connection, and what to do where that is clear.
// resp is the answer to the handshake, if one came.
func unconnected(resp *http.Response, err error) error {
	var words string
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		words = declined(resp)
	} else {
		words = unreached(err)
	}
	return wordedError{words, err}
}

// declined says what an HTTP answer means that is no websocket.
func declined(resp *http.Response) string {
	said := fmt.Sprintf("it answers with HTTP status %d (%s)", resp.StatusCode, strings.ToLower(http.StatusText(resp.StatusCode)))
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		to := reconcile.Clip(resp.Header.Get("Location"))
		return fmt.Sprintf("%s and leads to %q: redirects are not followed, give the right URL", said, to)
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return said + ": it, or what stands before it, does not let us in"
	case code == http.StatusTooManyRequests:
		return said + ": we have come too often"
	case code < 300, code == http.StatusNotFound:
		return said + ": there is no relay at this address, look at the path and the port"
	case code == http.StatusBadRequest:
		return said + ": if it speaks TLS, write wss:// instead of ws://"
	case code >= 500:
		return said + ": it, or what stands before it, is out of order"
	}
	return said + " in place of a websocket"
}

// unreached says why no answer came.
func unreached(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	var record tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, dialguard.ErrForbidden):
		if errors.As(err, &op) && op.Addr != nil {
			return fmt.Sprintf("%s %v", op.Addr, dialguard.ErrForbidden)
		}
		return dialguard.ErrForbidden.Error()
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("there is no host of the name %q in the DNS (no such host)", reconcile.Clip(dns.Name))
	case errors.As(err, &dns):
		return fmt.Sprintf("the DNS gives no answer for %q, try again later", reconcile.Clip(dns.Name))
	case errors.As(err, &certificate):
		return "its TLS certificate is not valid: " + reconcile.Clip(strings.TrimPrefix(certificate.Err.Error(), "x509: "))
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return "it does not speak TLS there: write ws:// instead of wss://, or give the port that does"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return "no answer in time: the host is away, or a firewall drops what we send"
	case errors.Is(err, context.Canceled):
		return "canceled before it answered"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens at this port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no way leads to this host from here"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "it cut the connection before it answered"
	case strings.Contains(err.Error(), "malformed HTTP"):
		return "what answers there does not speak HTTP; if it speaks TLS, write wss:// instead of ws://"
	}
	return reconcile.Clip(bare(err))
}

// bare leaves off the layers of a chain that only say what was being done.
func bare(err error) string {
	if of := (*url.Error)(nil); errors.As(err, &of) {
		err = of.Err
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	text := err.Error()
	for _, layer := range []string{
		"failed to WebSocket dial: ", "failed to send handshake request: ", "failed to get reader: ",
		"failed to read frame header: ", "failed to read frame payload: ", "failed to write frame: ", "failed to write msg: ", "x509: ",
	} {
		text = strings.TrimPrefix(text, layer)
	}
	return text
}

// disconnected says why a connection has ended.
func disconnected(err error) error {
	var words string
	var closed websocket.CloseError
	switch {
	case errors.Is(err, reconcile.ErrMisbehaving) && !errors.Is(err, websocket.ErrMessageTooBig):
		return err // in our own words
	case errors.Is(err, websocket.ErrMessageTooBig):
		words = fmt.Sprintf("%v: it sent a message of more than %d MiB", reconcile.ErrMisbehaving, maxMessage>>20)
	case errors.As(err, &closed):
		words = fmt.Sprintf("it closed it with status %d", int(closed.Code))
		if closed.Reason != "" {
			words += fmt.Sprintf(" and says %q", reconcile.Clip(closed.Reason))
		}
		if closed.Code == websocket.StatusMessageTooBig {
			words += ": a message of ours is larger than it takes"
		}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		words = "it gave no sign of life any more"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		words = "it, or something on the way, cut it"
	default:
		words = reconcile.Clip(bare(err))
	}
	return wordedError{words, err}
}
