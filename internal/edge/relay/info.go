package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nbd-wtf/go-nostr/nip11"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxInfo bounds a NIP-11 document.
const maxInfo = 256 << 10

// Info is a relay's information document (NIP-11). All of it is the relay's
// statement about itself; a relay that lists 77 may not speak it. Fields of another
// type than NIP-11 gives them are left out, because many relays have some.
type Info struct {
	Name, Description, PubKey, Contact, Software, Version string

	SupportedNIPs []int
	// Limitation is what the relay says it accepts; 0 is unknown.
	Limitation nip11.RelayLimitationDocument
	// HornetExtension is the extension of HORNETS relays as it stands; its
	// signature is checked by [Info.Hornets].
	HornetExtension json.RawMessage
	// ListIndex is what a list index says of itself as it stands; see [Info.Announcement].
	ListIndex json.RawMessage
}

// Supports reports whether the relay lists a NIP.
func (i *Info) Supports(nip int) bool { return slices.Contains(i.SupportedNIPs, nip) }

// limits says what the relay takes as hex within its limit on messages, of which
// 60,000 bytes fit every known relay, and as a page, and whether it speaks NIP-77.
func (i *Info) limits() (l reconcile.Limits) {
	const fits, envelope = 60_000, 200
	if limit := i.Limitation.MaxMessageLength; limit > 0 {
		l.Accepts = max(min(fits, (limit-envelope)/2), negentropy.MinFrameLimit)
	}
	l.Page = max(0, i.Limitation.MaxLimit)
	l.NoNegentropy = len(i.SupportedNIPs) > 0 && !i.Supports(77)
	return l
}

// UnmarshalJSON reads the document leniently.
func (i *Info) UnmarshalJSON(data []byte) error {
	var doc struct {
		nip11.RelayInformationDocument

		HornetExtension json.RawMessage `json:"hornet_extension"`
		ListIndex       json.RawMessage `json:"list_index"`
	}
	// A field of another type is left out by encoding/json, which goes on.
	var odd *json.UnmarshalTypeError
	if err := json.Unmarshal(data, &doc); err != nil && (!errors.As(err, &odd) || odd.Field == "") {
		return fmt.Errorf("not a JSON object: %w", err)
	}
	*i = Info{
		Name: doc.Name, Description: doc.Description, PubKey: doc.PubKey, Contact: doc.Contact, Software: doc.Software, Version: doc.Version,
		HornetExtension: doc.HornetExtension, ListIndex: doc.ListIndex,
	}
	if doc.Limitation != nil {
		i.Limitation = *doc.Limitation
	}
	for _, nip := range doc.SupportedNIPs {
		if n, err := strconv.Atoi(fmt.Sprint(nip)); err == nil {
			i.SupportedNIPs = append(i.SupportedNIPs, n)
		}
	}
	return nil
}

// ErrNoListIndex says that a document says nothing of a list index.
var ErrNoListIndex = errors.New("no list index")

// Announcement returns the event by which the relay announces that it is a list index, verified but for what it says. The error is
// [ErrNoListIndex], or says what is wrong with it.
func (i *Info) Announcement() (nostr.Event, error) {
	var field struct {
		Version      int             `json:"version"`
		Announcement json.RawMessage `json:"announcement"`
	}
	if len(i.ListIndex) == 0 || json.Unmarshal(i.ListIndex, &field) != nil || field.Version != 1 {
		return nostr.Event{}, ErrNoListIndex
	}
	e, err := nostr.ParseEvent(field.Announcement)
	if err == nil {
		err = schnorr.Verify(&e)
	}
	if err != nil {
		return nostr.Event{}, fmt.Errorf("list_index: announcement: %w", err)
	}
	return e, nil
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
	if o.Denied.Relay(url) {
		return info, errDenied(url)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timing.handshake)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http"+strings.TrimPrefix(url, "ws"), nil)
	if err != nil {
		return info, fmt.Errorf("relay %s: NIP-11: %w", url, err)
	}
	req.Header.Set("Accept", "application/nostr+json")
	req.Header.Set("User-Agent", o.Agent)
	resp, err := o.httpClient().Do(req)
	if err != nil {
		return info, fmt.Errorf("relay %s: NIP-11: %w", url, unconnected(nil, err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return info, fmt.Errorf("relay %s: NIP-11: %w", url, later(resp, errors.New(declined(resp)), time.Now()))
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxInfo+1))
	if err != nil {
		return info, fmt.Errorf("relay %s: NIP-11: %w", url, disconnected(err))
	}
	if len(data) > maxInfo {
		return info, fmt.Errorf("relay %s: NIP-11: more than %d bytes", url, maxInfo)
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return info, fmt.Errorf("relay %s: NIP-11: %w", url, err)
	}
	return info, nil
}
