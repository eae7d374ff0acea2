package nostr

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
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

// NormalizeRelayURL returns a relay URL to dial: scheme and host in lower case, no
// default port, no fragment, the path as it was given but for one of slashes alone,
// since servers tell /nostr/ from /nostr. Whether two are of one relay, say
// [SameRelay] and [RelayKey]. Blanks and invisible characters around it are cut
// off. It refuses what is no relay address: a scheme other than ws and wss, user
// info, a host in other letters than ASCII, blanks or invisible characters within,
// two URLs in one and, unless allowPrivate,
// an address literal or name that leads to the own machine or network, a port
// of another service ([PublicPort]), and addresses of overlay networks that
// cannot be dialled. A name that resolves to a private address passes here and is
// caught at dial time.
func NormalizeRelayURL(raw string, allowPrivate bool) (string, error) {
	raw = strings.TrimFunc(raw, Invisible)
	if len(raw) > MaxURLBytes {
		return "", fmt.Errorf("relay url: %d bytes, at most %d are accepted", len(raw), MaxURLBytes)
	}
	u, err := url.Parse(raw)
	switch {
	case raw != "" && !strings.Contains(raw, ":/"):
		return "", fmt.Errorf("relay url %q: begin it with wss://, or with ws:// where there is no TLS", Clip(afterAt(raw)))
	case err != nil:
		return "", fmt.Errorf("relay url %q: cannot be parsed", Clip(afterAt(raw)))
	}
	given := Clip(withoutUser(raw))
	scheme, host := strings.ToLower(u.Scheme), strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch {
	case scheme != "ws" && scheme != "wss":
		return "", fmt.Errorf("relay url %q: scheme must be ws or wss", given)
	case u.User != nil:
		return "", fmt.Errorf("relay url %q: must not carry a user name", given)
	case host == "", strings.HasPrefix(host, "."), strings.HasSuffix(host, "."), strings.Contains(host, ".."):
		return "", fmt.Errorf("relay url %q: has no host", given)
	case strings.ContainsFunc(u.Hostname(), notOfHost):
		return "", fmt.Errorf("relay url %q: the host has other characters than a-z, 0-9, dots and hyphens; "+
			"write names of other scripts as xn--…", given)
	case strings.ContainsFunc(raw, Invisible):
		return "", fmt.Errorf("relay url %q: has blanks or invisible characters within", given)
	case strings.Contains(u.Path, "://"), strings.HasSuffix(u.Host, ":") && strings.HasPrefix(u.Path, "//"):
		return "", fmt.Errorf("relay url %q: is two URLs without anything between them", given)
	case strings.ContainsFunc(u.RawQuery, notOfQuery):
		return "", fmt.Errorf("relay url %q: what follows the question mark must be percent-encoded", given)
	}
	if !allowPrivate {
		if err := publicHost(host); err != nil {
			return "", fmt.Errorf("relay url %q: %w", given, err)
		}
	}
	port, err := normalizePort(scheme, u.Port(), allowPrivate)
	if err != nil {
		return "", fmt.Errorf("relay url %q: %w", given, err)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.Unmap().String()
		if strings.Contains(host, ":") {
			host = "[" + strings.Replace(host, "%", "%25", 1) + "]"
		}
	} else if strings.ContainsAny(host, ":%") {
		return "", fmt.Errorf("relay url %q: %s is neither a name nor an address", given, Clip(host))
	}
	out := scheme + "://" + host + port + normalizePath(u)
	if u.RawQuery != "" {
		out += "?" + u.RawQuery
	}
	if len(out) > MaxURLBytes {
		return "", fmt.Errorf("relay url: %d bytes when percent-encoded, at most %d are accepted", len(out), MaxURLBytes)
	}
	return out, nil
}

// RelayKey is the KV and subject token of a relay: 32 hex digits of the SHA-256 of
// its normalised URL, with the differences that [SameRelay] ignores taken out.
func RelayKey(normalized string) string {
	sum := sha256.Sum256([]byte(normalForm(normalized)))
	return hex.EncodeToString(sum[:16])
}

// SameRelay reports whether two normalised URLs are of one relay: whether they
// differ in nothing but slashes at the end of the path and in how the same character
// is percent-encoded (RFC 3986, section 6.2.2).
func SameRelay(a, b string) bool { return a == b || normalForm(a) == normalForm(b) }

// HasRelay reports whether a normalised URL is of a relay among others.
func HasRelay(urls []string, url string) bool {
	return slices.ContainsFunc(urls, func(one string) bool { return SameRelay(one, url) })
}

// withoutUser cuts the user name and the password out of a URL: errors repeat what
// was given, and reach logs.
func withoutUser(raw string) string {
	head, rest, found := strings.Cut(raw, "//")
	if !found || strings.Contains(head, "@") {
		return afterAt(raw)
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@')
	if at < 0 {
		return raw
	}
	return head + "//…" + rest[at:]
}

// afterAt cuts out of what is no URL all that may be meant as a user name and a password.
func afterAt(text string) string {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		return "…" + text[at:]
	}
	return text
}

// normalForm is by which URLs are compared.
func normalForm(url string) string {
	if strings.Contains(url, "%") {
		url = encoded.ReplaceAllStringFunc(url, func(hex string) string {
			c, _ := strconv.ParseUint(hex[1:], 16, 8) // checked
			if r := rune(c); 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~", r) {
				return string(r)
			}
			return strings.ToUpper(hex)
		})
	}
	path, query, asks := strings.Cut(url, "?")
	if path = strings.TrimRight(path, "/"); asks {
		path += "?" + query
	}
	return path
}

// encoded is a character that is percent-encoded.
var encoded = regexp.MustCompile("%[0-9a-fA-F]{2}")

// normalizePath returns the path as it was given, without percent-encoded blanks at
// the end, and "" for one of slashes alone.
func normalizePath(u *url.URL) string {
	if path := strings.TrimRightFunc(u.Path, Invisible); path != u.Path {
		u.Path, u.RawPath = path, ""
	}
	if path := u.EscapedPath(); strings.Trim(path, "/") != "" {
		return path
	}
	return ""
}

// notOfHost reports whether a character can be in no host. Resolvers and HTTP
// clients map letters of other scripts in ways of their own, among them
// full-width digits to addresses; and what only looks like a name is another.
func notOfHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_:%", r)
}

func notOfQuery(r rune) bool { return r <= ' ' || r > '~' }

// normalizePort returns the port with its colon, or "" for the scheme's own.
func normalizePort(scheme, port string, anyPort bool) (string, error) {
	if port == "" {
		return "", nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || n == 0:
		return "", fmt.Errorf("port %s is not within 1 and 65535", Clip(port))
	case scheme == "ws" && n == 80, scheme == "wss" && n == 443:
		return "", nil
	case !anyPort && !PublicPort(uint16(n)):
		return "", fmt.Errorf("port %d belongs to another service, where no browser connects to either", n)
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
	for _, suffix := range []string{
		"localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa", "onion",
		"i2p",
	} {
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
