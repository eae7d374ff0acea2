package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/worded"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// named says which relay an error is about, once, whatever it wraps.
type named struct {
	url string
	error
}

func (e named) Error() string { return "relay " + reconcile.Named(e.url, e.error) }
func (e named) Unwrap() error { return e.error }

// unconnected says why there is no connection, and what to do where that is clear.
// resp is the answer to the handshake, if one came.
func unconnected(resp *http.Response, err error) error {
	var words string
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		words = declined(resp)
	} else {
		words = unreached(err)
	}
	return worded.Error(words, err)
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
	case code < 300, code == http.StatusNotFound, code == http.StatusMethodNotAllowed, code == http.StatusGone,
		code == http.StatusUpgradeRequired:
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
	var record tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return "its TLS certificate is not valid: " + invalid(certificate.Err)
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return "it does not speak TLS there: write ws:// instead of wss://, or give the port that does"
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "remote error" {
		return "it ends the TLS handshake: " + reconcile.Clip(strings.TrimPrefix(op.Err.Error(), "tls: "))
	}
	if words := worded.Unreached(err); words != "" {
		return words
	}
	if strings.Contains(err.Error(), "WebSocket protocol violation") {
		return "what answers there does not speak websocket as it should: is this the address of a relay?"
	}
	if strings.Contains(err.Error(), "malformed HTTP") {
		return "what answers there does not speak HTTP; if it speaks TLS, write wss:// instead of ws://"
	}
	return reconcile.Clip(bare(err))
}

// invalid says why a certificate is not accepted.
func invalid(err error) string {
	var authority x509.UnknownAuthorityError
	var other x509.HostnameError
	var of x509.CertificateInvalidError
	var roots x509.SystemRootsError
	switch {
	case errors.As(err, &roots):
		return "this machine knows no authorities, install the package ca-certificates"
	case errors.As(err, &authority):
		return "it is self-signed, or of an authority that this machine does not know"
	case errors.As(err, &other) && len(other.Certificate.DNSNames) > 0:
		names := strings.Join(other.Certificate.DNSNames, ", ")
		return fmt.Sprintf("it is for %s and not for %s", reconcile.Clip(names), reconcile.Clip(other.Host))
	case errors.As(err, &other):
		return "it is not for " + reconcile.Clip(other.Host)
	case errors.As(err, &of) && of.Reason == x509.Expired && time.Now().Before(of.Cert.NotBefore):
		return fmt.Sprintf("it begins on %s: is the clock of this machine right?", of.Cert.NotBefore.UTC().Format(time.DateOnly))
	case errors.As(err, &of) && of.Reason == x509.Expired:
		return "it has expired on " + of.Cert.NotAfter.UTC().Format(time.DateOnly)
	}
	return reconcile.Clip(strings.TrimPrefix(err.Error(), "x509: "))
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
	return worded.Error(words, err)
}
