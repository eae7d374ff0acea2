package dialguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"

	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// ErrForbidden says that an address may not be dialled on a stranger's claim.
var ErrForbidden = errors.New("leads into a private or reserved network, or to a port of another service (--allow-private permits both)")

// Guard says what may be dialled. The zero value permits the public internet
// only.
type Guard struct {
	// AllowPrivate permits every address: for tests, and for hosts that the
	// operator has named.
	AllowPrivate bool
	// Budget bounds what is dialled by HTTPClient, by host and network; nil
	// bounds nothing.
	Budget *hosts.Budget
	// Leased is told of the lease of each connection; it may be nil.
	Leased func(*hosts.Lease)
}

// Allows reports whether an address may be dialled.
func (g Guard) Allows(at netip.AddrPort) bool {
	return g.AllowPrivate || nostr.PublicAddr(at.Addr()) && nostr.PublicPort(at.Port())
}

// Control is the field of that name of a [net.Dialer], which calls it with each
// address that a name has resolved to, before it connects.
func (g Guard) Control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	switch {
	case g.AllowPrivate:
		return nil
	case err != nil:
		return errors.Join(ErrForbidden, err)
	case !g.Allows(at):
		return fmt.Errorf("%s %w", at, ErrForbidden)
	}
	return nil
}

// HTTPClient returns a client for one exchange that dials through the guard,
// follows no redirect, keeps no connection or cookie and knows no proxy,
// whatever the environment says: a proxy would resolve names where the guard
// does not see it.
func (g Guard) HTTPClient() *http.Client {
	return &http.Client{
		Transport: asking{&http.Transport{
			Proxy:                  nil,
			DialContext:            g.dial,
			DisableKeepAlives:      true,
			ForceAttemptHTTP2:      false,
			MaxResponseHeaderBytes: maxHeader,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// asking tells the dialling of the request's context. net/http dials on when who
// asked has given up, for others, of whom there are none here.
type asking struct{ http.RoundTripper }

// askedBy is the key of that context in the one of the dialling.
type askedBy struct{}

func (a asking) RoundTrip(r *http.Request) (*http.Response, error) {
	return a.RoundTripper.RoundTrip(r.WithContext(context.WithValue(r.Context(), askedBy{}, r.Context())))
}

// dial connects to "host:port" within the budget.
func (g Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if by, ok := ctx.Value(askedBy{}).(context.Context); ok {
		during, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(by, func() { cancel(context.Cause(by)) })()
		ctx = during
	}
	lease, err := g.Budget.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{ControlContext: func(ctx context.Context, network, address string, raw syscall.RawConn) error {
		if err := g.Control(network, address, raw); err != nil {
			return err
		}
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return lease.At(ctx, at.Addr())
	}}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		lease.Release()
		return nil, err
	}
	if to, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		lease.Connected(to.AddrPort().Addr())
	}
	if g.Leased != nil {
		g.Leased(lease)
	}
	return &leased{conn, lease}, nil
}

// leased is a connection that counts until it is closed.
type leased struct {
	net.Conn

	lease *hosts.Lease
}

func (c *leased) Close() error {
	c.lease.Release()
	return c.Conn.Close()
}

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 64 << 10
