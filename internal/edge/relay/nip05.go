package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxNames bounds a NIP-05 document.
const maxNames = 256 << 10

// identifier is a name at a domain (NIP-05), in lower case.
var identifier = regexp.MustCompile(`^[a-z0-9._-]{1,64}@([a-z0-9-]{1,63}\.){1,8}[a-z0-9-]{1,63}$`)

// FetchNIP05 asks the domain of an identifier ("name@domain") at which relays the author with a
// public key is. There are none if the domain says that the name is another's, which is an
// error. Redirects are not followed, as NIP-05 demands.
func FetchNIP05(ctx context.Context, name, pubkey string, o Options) (relays []string, err error) {
	name = strings.ToLower(name)
	if !identifier.MatchString(name) {
		return nil, errors.New("NIP-05: not a name at a domain")
	}
	name, domain, _ := strings.Cut(name, "@")
	o = o.withDefaults()
	if at := "wss://" + domain; o.Denied.Relay(at) {
		return nil, errDenied(at)
	}
	relays, err = fetchNames(ctx, "https://"+domain, name, pubkey, o)
	if err != nil {
		return nil, fmt.Errorf("NIP-05: %s: %w", domain, err)
	}
	return relays, nil
}

func fetchNames(ctx context.Context, at, name, pubkey string, o Options) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timing.handshake)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/.well-known/nostr.json?name="+url.QueryEscape(name), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", o.Agent)
	resp, err := o.httpClient().Do(req)
	if err != nil {
		return nil, unconnected(nil, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(declined(resp))
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxNames+1))
	if err != nil {
		return nil, disconnected(err)
	}
	return parseNames(data, name, pubkey, o.AllowPrivate)
}

// parseNames reads a NIP-05 document: the relays of the author, if the name is theirs.
func parseNames(data []byte, name, pubkey string, allowPrivate bool) (relays []string, err error) {
	if len(data) > maxNames {
		return nil, fmt.Errorf("more than %d bytes", maxNames)
	}
	var doc struct {
		Names  map[string]string   `json:"names"`
		Relays map[string][]string `json:"relays"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if doc.Names[name] != pubkey {
		return nil, errors.New("the name is another's, or nobody's")
	}
	for _, raw := range doc.Relays[pubkey] {
		if at, err := nostr.NormalizeRelayURL(raw, allowPrivate); err == nil && len(relays) < nostr.MaxListRelays {
			relays = append(relays, at)
		}
	}
	return relays, nil
}
