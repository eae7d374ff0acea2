package console

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/relaymesh/relaymesh/internal/edge/slots"
)

const (
	// maxStreams bounds the open streams of those who connect themselves, and of
	// those whom a proxy on the machine passes on, each.
	maxStreams = 64
	// maxStreamsVisitor bounds those of one visitor; browsers open six.
	maxStreamsVisitor = 8
)

// streams are the slots of open streams. Those of visitors whom a proxy passes on
// are apart: anybody on the machine may say that they are such a proxy.
type streams struct{ direct, passedOn *slots.Shared }

func newStreams() streams {
	return streams{slots.New(maxStreams, maxStreamsVisitor), slots.New(maxStreams, maxStreamsVisitor)}
}

// take takes a slot for a visitor's stream, see [slots.Shared.Take].
func (s streams) take(r *http.Request, evict func()) (leave func(), ok bool) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return s.direct.Take(r.RemoteAddr, evict)
	}
	said := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	if !from.Addr().Unmap().IsLoopback() || said == "" {
		return s.direct.Take(visitor(from.Addr()), evict)
	}
	// The last address is the proxy's word, those before it are its visitor's.
	last, err := netip.ParseAddr(strings.TrimSpace(said[strings.LastIndexByte(said, ',')+1:]))
	if err != nil {
		return s.passedOn.Take("", evict)
	}
	return s.passedOn.Take(visitor(last), evict)
}

// visitor is the part of an address that one stranger has: an IPv4 address, or 56
// bits of IPv6.
func visitor(addr netip.Addr) string {
	if addr = addr.Unmap(); addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr.WithZone(""), 56).Masked().String()
}
