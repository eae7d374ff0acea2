package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func (c *doctorCmd) relay(ctx context.Context, _ *output, e examination) {
	url := c.Relay
	if url == "" {
		url = "ws://" + c.RelayAddr // that of up
	}
	options := relay.Options{AllowPrivate: true}
	key, err := c.key()
	if err != nil {
		e.fail("key", err.Error(), "give a file with an nsec or 64 hex digits, readable to this user")
		return
	}
	if c.NsecFile != "" {
		options.Auth = key.SignEvent
	}
	conn, err := relay.Dial(ctx, url, options)
	if err != nil {
		e.fail("connection", err.Error(), "start the relay, or name the right one with --relay")
		return
	}
	defer conn.Close()
	e.ok("connection", "%s", url)

	if info, err := relay.FetchInfo(ctx, url, options); err != nil {
		e.fail("nip-11", err.Error(), "let whatever stands before the relay pass GET with Accept: application/nostr+json on")
	} else {
		e.ok("nip-11", "%q, %s, NIPs %v", info.Name, cmp.Or(strings.TrimSpace(info.Software+" "+info.Version), "of unknown make"),
			info.SupportedNIPs)
	}
	c.sync(ctx, conn, e)
	c.write(ctx, conn, key, e)
}

func (c *doctorCmd) key() (*schnorr.SecretKey, error) {
	if c.NsecFile == "" {
		return schnorr.NewSecret()
	}
	return schnorr.ReadSecretFile(c.NsecFile)
}

// sync opens a NIP-77 session over what nobody has written.
func (c *doctorCmd) sync(ctx context.Context, conn *relay.Conn, e examination) {
	first := negentropy.NewReconciler(negentropy.NewVector(nil), negentropy.Options{}).Initiate()
	session, _, err := conn.Open(ctx, nostr.Filter{Kinds: []int{65535}}, first)
	switch {
	case errors.Is(err, reconcile.ErrNoNegentropy):
		e.advise("nip-77", err.Error(), "syncs work, but list the relay's events: turn negentropy on in the relay if it has it")
	case err != nil:
		e.fail("nip-77", err.Error(), "see the relay's log; if it asks for authentication, give --nsec-file")
	default:
		session.Close()
		e.ok("nip-77", "negentropy works")
	}
}

// write sends an ephemeral event, which relays pass on but do not store.
func (c *doctorCmd) write(ctx context.Context, conn *relay.Conn, key *schnorr.SecretKey, e examination) {
	event := nostr.Event{CreatedAt: time.Now().Unix(), Kind: 20_000, Tags: []nostr.Tag{}, Content: "relaymesh doctor"}
	err := schnorr.Sign(&event, key)
	if err == nil {
		err = reconcile.Write(ctx, conn, event)
	}
	if refused := reconcile.RefusalOf(err); refused != nil {
		e.fail("write", fmt.Sprintf("refused: %s", refused.Reason),
			"let relaymesh write events of anyone's to the relay: by its address, or by the key of --nsec-file")
		return
	}
	if err != nil {
		e.fail("write", err.Error(), "see the relay's log")
		return
	}
	e.ok("write", "an event was accepted")
}
