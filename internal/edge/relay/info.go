package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxInfo bounds a NIP-11 document.
const maxInfo = 256 << 10

// Info is a relay's information document (NIP-11). All of it is the relay's
// word about itself; a relay that lists 77 may not speak it. Fields of another
// type than NIP-11 gives them are left out, because many relays have some.
type Info struct {
	Name, Description, PubKey, Contact, Software, Version string

	SupportedNIPs []int
	Limitation    Limitation
	// HornetExtension is the extension of HORNETS relays as it stands; its
	// signature is checked by [Info.Hornets].
	HornetExtension json.RawMessage
}

// Limitation is what the relay says it accepts; 0 is unknown.
type Limitation struct {
	MaxMessageLength int   // bytes of a message to the relay
	MaxSubscriptions int   // per connection
	MaxLimit         int   // events that one filter gets
	DefaultLimit     int   // events that a filter without limit gets
	MaxSubidLength   int   // bytes
	MinCreatedAt     int64 // seconds before now (created_at_lower_limit)
	MaxCreatedAt     int64 // seconds after now (created_at_upper_limit)
	AuthRequired     bool
	PaymentRequired  bool
	RestrictedWrites bool
}

// Supports reports whether the relay lists a NIP.
func (i *Info) Supports(nip int) bool { return slices.Contains(i.SupportedNIPs, nip) }

// limits says what the relay takes as hex within its limit on messages; 60,000
// bytes fit every known relay.
func (i *Info) limits() (l reconcile.Limits) {
	const fits, envelope = 60_000, 200
	if limit := i.Limitation.MaxMessageLength; limit > 0 {
		l.Accepts = max(min(fits, (limit-envelope)/2), negentropy.MinFrameLimit)
	}
	return l
}

// UnmarshalJSON reads the document leniently.
func (i *Info) UnmarshalJSON(data []byte) error {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("not a JSON object: %w", err)
	}
	*i = Info{HornetExtension: doc["hornet_extension"]}
	for name, into := range map[string]*string{
		"name": &i.Name, "description": &i.Description, "pubkey": &i.PubKey,
		"contact": &i.Contact, "software": &i.Software, "version": &i.Version,
	} {
		lenient(doc[name], into)
	}
	var nips []json.RawMessage
	lenient(doc["supported_nips"], &nips)
	for _, raw := range nips {
		if n, err := strconv.Atoi(strings.Trim(string(raw), `"`)); err == nil {
			i.SupportedNIPs = append(i.SupportedNIPs, n)
		}
	}
	var limits map[string]json.RawMessage
	lenient(doc["limitation"], &limits)
	l := &i.Limitation
	for name, into := range map[string]any{
		"max_message_length": &l.MaxMessageLength, "max_subscriptions": &l.MaxSubscriptions,
		"max_limit": &l.MaxLimit, "default_limit": &l.DefaultLimit, "max_subid_length": &l.MaxSubidLength,
		"created_at_lower_limit": &l.MinCreatedAt, "created_at_upper_limit": &l.MaxCreatedAt,
		"auth_required": &l.AuthRequired, "payment_required": &l.PaymentRequired, "restricted_writes": &l.RestrictedWrites,
	} {
		lenient(limits[name], into)
	}
	return nil
}

// lenient decodes a field, and leaves it zero where it is missing or odd.
func lenient[T any](raw json.RawMessage, into T) {
	if len(raw) > 0 {
		_ = json.Unmarshal(raw, into) // an odd field is as good as a missing one
	}
}

// FetchInfo reads a relay's NIP-11 document from the http(s) address that
// belongs to its ws(s) address.
func FetchInfo(ctx context.Context, url string, o Options) (Info, error) {
	var info Info
	o = o.withDefaults()
	url, err := nostr.NormalizeRelayURL(url, o.AllowPrivate)
	if err != nil {
		return info, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timing.handshake)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http"+strings.TrimPrefix(url, "ws"), nil)
	if err != nil {
		return info, fmt.Errorf("relay %s: NIP-11: %w", url, err)
	}
	req.Header.Set("Accept", "application/nostr+json")
	req.Header.Set("User-Agent", "relaymesh")
	resp, err := o.httpClient().Do(req)
	if err != nil {
		return info, fmt.Errorf("relay %s: NIP-11: %w", url, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return info, fmt.Errorf("relay %s: NIP-11: status %s", url, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxInfo+1))
	if err != nil {
		return info, fmt.Errorf("relay %s: NIP-11: %w", url, err)
	}
	if len(data) > maxInfo {
		return info, fmt.Errorf("relay %s: NIP-11: more than %d bytes", url, maxInfo)
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return info, fmt.Errorf("relay %s: NIP-11: %w", url, err)
	}
	return info, nil
}
