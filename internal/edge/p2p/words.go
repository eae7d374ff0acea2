package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"

	"github.com/relaymesh/relaymesh/internal/edge/dialguard"
	"github.com/relaymesh/relaymesh/internal/edge/worded"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// maxReasons is how many of the addresses of a peer it is told of why they do not
// answer.
const maxReasons = 3

// unconnected says why there is no connection to a peer at some addresses, which is
// the same for all of them in most cases.
func unconnected(addrs []ma.Multiaddr, err error) error {
	dialled := (*swarm.DialError)(nil)
	if !errors.As(err, &dialled) || len(dialled.DialErrors) == 0 {
		return worded.Error("no connection: "+notDialled(addrs, err), err)
	}
	var reasons, told []string
	for _, one := range dialled.DialErrors {
		why := unreached(one.Cause)
		if slices.Contains(reasons, why) {
			continue
		}
		reasons = append(reasons, why)
		if len(told) < maxReasons {
			told = append(told, fmt.Sprintf("at %s %s", reconcile.Clip(one.Address.String()), why))
		}
	}
	if len(reasons) == 1 {
		told = reasons
	}
	return worded.Error("no connection: "+strings.Join(told, "; "), err)
}

// notDialled says why none of the addresses was even dialled.
func notDialled(addrs []ma.Multiaddr, err error) string {
	named := slices.ContainsFunc(addrs, func(a ma.Multiaddr) bool {
		return len(a) > 0 && strings.HasPrefix(a[0].Protocol().Name, "dns")
	})
	switch {
	case errors.Is(err, swarm.ErrDialToSelf):
		return "the address names ourselves"
	case !errors.Is(err, swarm.ErrNoGoodAddresses) && !errors.Is(err, swarm.ErrNoAddresses):
		return unreached(err)
	case named:
		return fmt.Sprintf("the DNS has no address of the host, or it %v", dialguard.ErrForbidden)
	}
	return unreached(swarm.ErrGaterDisallowedConnection)
}

// unreached says why one address did not come to a connection.
func unreached(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, swarm.ErrGaterDisallowedConnection):
		return fmt.Sprintf("the address %v", dialguard.ErrForbidden)
	case errors.Is(err, network.ErrResourceLimitExceeded):
		return "we have as many connections as we may, try again later"
	case strings.Contains(text, "peer id mismatch"), strings.Contains(text, "peer IDs don't match"):
		return "another peer answers there than the one that the address names (/p2p/…)"
	case strings.HasSuffix(text, "connection reset by peer"), strings.HasSuffix(text, "EOF"): // some layers do not wrap
		return worded.Unreached(io.EOF)
	case strings.Contains(text, "failed to negotiate security protocol"):
		return "what answers there does not speak libp2p, look at the port"
	case errors.Is(err, swarm.ErrDialTimeout), strings.Contains(text, "i/o timeout"):
		return worded.Unreached(context.DeadlineExceeded)
	case errors.Is(err, swarm.ErrDialRefusedBlackHole):
		return "no connection of its kind (UDP, IPv6) has come about from here lately, so that it is not tried now"
	}
	if words := worded.Unreached(err); words != "" {
		return words
	}
	layers := strings.Split(text, ": ")
	return reconcile.Clip(layers[len(layers)-1])
}

// unspoken says why a connected peer does not speak a protocol with us.
func unspoken(speak protocol.ID, err error) error {
	words := fmt.Sprintf("it broke off before it had agreed to speak %s", speak)
	if errors.Is(err, multistream.ErrNotSupported[protocol.ID]{}) {
		words = fmt.Sprintf("it does not speak %s, as HORNETS relays up to February 2026 do", speak)
	}
	return worded.Error(words, err)
}

// cutOff says why a stream has ended.
func cutOff(err error) error {
	switch {
	case errors.Is(err, network.ErrReset), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return worded.Error("it, or something on the way, cut the stream", err)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return worded.Error("it gave no sign of life any more", err)
	}
	return err
}
