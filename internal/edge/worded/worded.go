// Package worded says in the operator's words why there is no connection, where
// libraries name their layers one after the other.
package worded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/relaymesh/relaymesh/internal/edge/dialguard"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// Error is an error with another text.
func Error(words string, err error) error { return wordedError{words, err} }

type wordedError struct {
	words string
	error
}

func (e wordedError) Error() string { return e.words }
func (e wordedError) Unwrap() error { return e.error }

// Unreached says why a host could not be connected to, and what to do where that is
// clear; "" if the error is none of those that every transport may have.
func Unreached(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	var timeout interface{ Timeout() bool }
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
	case errors.Is(err, context.Canceled):
		return "canceled before it answered"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens at this port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no way leads to this host from here"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time: the host is away or overloaded, or a firewall drops what we send"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "it cut the connection before it answered"
	}
	return ""
}
