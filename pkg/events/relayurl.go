package events

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Bounds of what a relay list may name (NIP-65 and BEP 44 lists alike).
const (
	// MaxListRelays is how many relays of one list are used, in the order of
	// the list. Real lists stay under it.
	MaxListRelays = 20
	// MaxListTags is how many r tags a NIP-65 list may have before it is
	// refused as a whole: no user writes to so many relays.
	MaxListTags = 200
	// MaxURLBytes bounds one relay URL.
	MaxURLBytes = 256
)

// NormalizeRelayURL returns the one spelling under which relaymesh knows a
// relay: scheme and host in lower case, no default port, no trailing slash,
// no fragment. It refuses what is no relay address: a scheme other than ws and
// wss, user info, an address literal or name that leads to the own machine or
// network (unless allowPrivate), and addresses of overlay networks that cannot
// be dialled. A name that resolves to a private address passes here and is
// caught at dial time.
func NormalizeRelayURL(raw string, allowPrivate bool) (string, error) {
	raw = strings.TrimSpace(raw)
	if len(raw) > MaxURLBytes {
		return "", fmt.Errorf("relay url: %d bytes, at most %d are accepted", len(raw), MaxURLBytes)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", fmt.Errorf("relay url %q: cannot be parsed", clip(raw))
	}
	scheme, host := strings.ToLower(u.Scheme), strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch {
	case scheme != "ws" && scheme != "wss":
		return "", fmt.Errorf("relay url %q: scheme must be ws or wss", clip(raw))
	case u.User != nil:
		return "", fmt.Errorf("relay url %q: must not carry a user name", clip(raw))
	case host == "":
		return "", fmt.Errorf("relay url %q: has no host", clip(raw))
	}
	if !allowPrivate {
		if err := publicHost(host); err != nil {
			return "", fmt.Errorf("relay url %q: %w", clip(raw), err)
		}
	}
	port, err := normalizePort(scheme, u.Port())
	if err != nil {
		return "", fmt.Errorf("relay url %q: %w", clip(raw), err)
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	out := scheme + "://" + host + port + strings.TrimRight(u.EscapedPath(), "/")
	if u.RawQuery != "" {
		out += "?" + u.RawQuery
	}
	return out, nil
}

// RelayKey is the KV and subject token of a relay: 32 hex digits of the
// SHA-256 of its normalised URL.
func RelayKey(normalized string) string {
	sum := sha256.Sum256([]byte(normalized))
	return hex.EncodeToString(sum[:16])
}

// normalizePort returns the port with its colon, or "" for the scheme's own.
func normalizePort(scheme, port string) (string, error) {
	if port == "" {
		return "", nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || n == 0:
		return "", fmt.Errorf("port %s is not within 1 and 65535", clip(port))
	case scheme == "ws" && n == 80, scheme == "wss" && n == 443:
		return "", nil
	}
	return ":" + strconv.FormatUint(n, 10), nil
}

func publicHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if !PublicAddr(addr) {
			return errors.New("leads into a private or reserved network")
		}
		return nil
	}
	for _, suffix := range []string{"localhost", "local", "internal", "lan", "home.arpa", "onion", "i2p"} {
		if host == suffix || strings.HasSuffix(host, "."+suffix) {
			return fmt.Errorf("a name under .%s is not reachable from here", suffix)
		}
	}
	if !strings.Contains(host, ".") {
		return errors.New("the host is not a full domain name")
	}
	// Resolvers accept 127.1, 0x7f000001 and 2130706433 as addresses.
	if last := host[strings.LastIndexByte(host, '.')+1:]; last == "" || (last[0] >= '0' && last[0] <= '9') {
		return errors.New("the host looks like an address in an odd spelling")
	}
	return nil
}

// reserved lists what IsGlobalUnicast and IsPrivate let through: shared
// address space, documentation, benchmarking, protocol assignments, class E,
// discard and segment routing prefixes, and every form that embeds an IPv4
// address: IPv4-compatible, IPv4-translated, NAT64, Teredo and 6to4.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("::ffff:0:0:0/96"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// PublicAddr reports whether an address may be dialled on the word of a
// stranger: global unicast and in no private or reserved range. An IPv4
// address mapped into IPv6 counts as the IPv4 address.
func PublicAddr(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" || !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	for _, p := range reserved {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}
