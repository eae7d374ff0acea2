package dialguard

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"

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
	dialer := &net.Dialer{Control: g.Control}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			DisableKeepAlives:      true,
			ForceAttemptHTTP2:      false,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 64 << 10
