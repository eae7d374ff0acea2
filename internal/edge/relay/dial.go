package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/edge/deflate"
	"github.com/relaymesh/relaymesh/internal/edge/dialguard"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Options apply to every connection that is made with them.
type Options struct {
	// AllowPrivate permits loopback and private addresses: for tests, and for
	// the relay that relaymesh stands beside.
	AllowPrivate bool
	// Local says that the relays of the pool are such as nothing can be done
	// without: one that is away is tried again soon.
	Local bool
	// Auth signs a NIP-42 event in place, for instance the SignEvent method of
	// a schnorr.SecretKey; nil is never to authenticate.
	Auth func(*nostr.Event) error
	// Token is shown in each handshake (RFC 6750), "" is none: the embedded relay
	// hides nothing from those who have its own.
	Token string
	// Agent is who we say we are (User-Agent); "" is relaymesh, without a version.
	Agent string
	// Denied names relays that are not dialled; nil none.
	Denied *deny.Lists
	// Budget bounds connections and dials, by host and network; nil bounds
	// nothing.
	Budget *hosts.Budget
	// Log takes what is worth knowing and is no error; nil discards it.
	Log *slog.Logger

	timing  timing
	account *account       // of the host that is dialled
	lease   *hosts.Lease   // of the connection, once it is there
	meter   *deflate.Meter // of the connection; nil is without compression
}

// timing holds the waits of a connection; tests shorten them.
type timing struct {
	handshake time.Duration // DNS, TCP, TLS and websocket together
	answer    time.Duration // between a request and a sign of life about it
	stall     time.Duration // how long one subscription may hold up the others
	ping      time.Duration // relays close after 60 s without a sign of life
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Agent = cmp.Or(o.Agent, "relaymesh")
	if o.account == nil {
		o.account = &account{}
	}
	defaults := timing{handshake: 10 * time.Second, answer: 30 * time.Second, stall: 10 * time.Second, ping: 25 * time.Second}
	for _, d := range []struct{ set, to *time.Duration }{
		{&o.timing.handshake, &defaults.handshake},
		{&o.timing.answer, &defaults.answer},
		{&o.timing.stall, &defaults.stall},
		{&o.timing.ping, &defaults.ping},
	} {
		if *d.set == 0 {
			*d.set = *d.to
		}
	}
	return o
}

// maxMessage bounds a message from a relay, inflated. khatru and strfry answer NIP-77
// with up to 2 MiB of hex.
const maxMessage = 4 << 20

// compressed is the size from which a message is compressed.
const compressed = 256

// Dial connects to a relay, in any spelling that [nostr.NormalizeRelayURL]
// accepts. The context bounds the handshake only; the connection lives until
// [Conn.Close] or until it fails.
func Dial(ctx context.Context, url string, o Options) (*Conn, error) {
	o = o.withDefaults()
	url, err := nostr.NormalizeRelayURL(url, o.AllowPrivate)
	if err != nil {
		return nil, err
	}
	if o.Denied.Relay(url) {
		return nil, errDenied(url)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timing.handshake)
	defer cancel()
	if !o.Local { // bytes to it cost nothing, compressing them would
		o.meter = &deflate.Meter{}
	}
	ws, lease, err := o.handshake(ctx, url)
	if errors.Is(err, deflate.ErrUnknown) {
		o.meter = nil
		ws, lease, err = o.handshake(ctx, url)
	}
	if err != nil {
		return nil, &dialError{url, err}
	}
	ws.SetReadLimit(maxMessage)
	o.lease = lease
	return newConn(ws, url, o), nil
}

// handshake opens a websocket. It offers compression if there is a meter.
func (o Options) handshake(ctx context.Context, url string) (ws *websocket.Conn, lease *hosts.Lease, err error) {
	client := o.countingClient(func(l *hosts.Lease) { lease = l })
	options := &websocket.DialOptions{HTTPClient: client, HTTPHeader: o.header()}
	if o.meter != nil {
		options.HTTPClient = o.meter.Offer(options.HTTPClient)
		options.CompressionMode, options.CompressionThreshold = websocket.CompressionContextTakeover, compressed
	}
	ws, resp, err := websocket.Dial(ctx, url, options)
	if err != nil && resp != nil && resp.Body != nil {
		resp.Body.Close()
	}
	if err != nil {
		return nil, nil, later(resp, unconnected(resp, err), time.Now())
	}
	return ws, lease, nil
}

func errDenied(url string) error { return fmt.Errorf("relay %s is %s", url, reconcile.Denied) }

func (o Options) header() http.Header {
	// Gateways and indexes answer us from what they have, so that no question goes in a circle.
	h := http.Header{"User-Agent": {o.Agent}, "Relaymesh-Hop": {"1"}}
	if o.Token != "" {
		h.Set("Authorization", "Bearer "+o.Token)
	}
	return h
}

// httpClient returns what dials a relay. See [dialguard.Guard.HTTPClient].
func (o Options) httpClient() *http.Client { return o.guard().HTTPClient() }

func (o Options) guard() dialguard.Guard {
	return dialguard.Guard{AllowPrivate: o.AllowPrivate, Budget: o.Budget}
}

// countingClient is [Options.httpClient] with the frames of its websockets
// charged to the host's account; leased is told of their leases.
func (o Options) countingClient(leased func(*hosts.Lease)) *http.Client {
	guard := o.guard()
	guard.Leased = leased
	client := guard.HTTPClient()
	client.Transport = counting{client.Transport, func(bytes int) error { return o.account.charge(bytes, time.Now()) }}
	return client
}

// maxRetryAfter is how long a relay can have itself left alone.
const maxRetryAfter = time.Hour

// later adds to an error what the answer says of when the relay may be asked
// again (RFC 9110, Retry-After: seconds or a date), if it says so.
func later(resp *http.Response, err error, now time.Time) error {
	if resp == nil || resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return err
	}
	said := strings.TrimSpace(resp.Header.Get("Retry-After"))
	until, dateErr := http.ParseTime(said)
	if seconds, numErr := strconv.ParseUint(said, 10, 32); numErr == nil {
		until = now.Add(time.Duration(seconds) * time.Second)
	} else if dateErr != nil {
		return err
	}
	wait := min(max(until.Sub(now), time.Second), maxRetryAfter)
	return &reconcile.LaterError{Until: now.Add(wait), Err: err}
}
