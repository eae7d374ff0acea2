package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

type dhtDirectoryCmd struct {
	dhtFlags
	Slots int    `default:"16" help:"How many slots are looked up, from 0 on; at most 1024."`
	Key   string `placeholder:"KEY" help:"Public key of the directory, 64 hex digits; that of HORNETS if not given."`

	Announce bool `help:"Hand the relays that have a URL to the pipeline, too (relay.discovered)."`
	remote
}

// Help says what the command does with what it finds.
func (dhtDirectoryCmd) Help() string {
	return `Reads the records under the salts nostr:relay:0, nostr:relay:1 and so on, and prints the relays that they name. Anyone may have
written there: a relay counts only if its NIP-11 document carries a HORNETS extension that verifies. Nothing is put on the DHT.
With --json every entry is one line; those that do not count say why.`
}

// directoryEntry is what the command prints; its fields are stable.
type directoryEntry struct {
	Slot   int      `json:"slot"`
	URL    string   `json:"url,omitempty"` // missing where the slot holds a document
	Name   string   `json:"name,omitempty"`
	PubKey string   `json:"pubkey,omitempty"`
	PeerID string   `json:"peer_id,omitempty"`
	Addrs  []string `json:"addrs,omitempty"`
	Why    string   `json:"why,omitempty"` // why it does not count
}

// Run prints entries as they are found.
func (c *dhtDirectoryCmd) Run(ctx context.Context, o *output) error {
	key := bep44.HornetsDirectoryKey
	if c.Key != "" {
		text, err := parseDHTKey(c.Key)
		if err != nil {
			return usage("--key: %v", err)
		}
		_, _ = hex.Decode(key[:], []byte(text)) // checked
	}
	if c.Slots < 1 || c.Slots > 1024 {
		return usage("--slots: %d is not within 1 and 1024", c.Slots)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	announce := func(string) error { return nil }
	if c.Announce {
		js, err := c.connect(ctx, o)
		if err != nil {
			return err
		}
		defer js.Conn().Close()
		announce = func(url string) error {
			_, err := js.Publish(ctx, events.SubjectRelayDiscovered, nostr.Encode(events.RelayDiscovered{URL: url, Via: contract.ViaDirectory}))
			return err
		}
	}
	var count int
	var failed error
	err := run.SearchDirectory(ctx, config.Config{AllowPrivate: c.AllowPrivate, DHT: c.DHT}, key, c.Slots, obs.NewLogger(o.err, "error"),
		func(e run.DirectoryEntry) {
			if e.Why == "" {
				count++
			}
			if e.Why == "" && e.URL != "" {
				failed = errors.Join(failed, announce(e.URL))
			}
			failed = errors.Join(failed, c.print(o, e))
		})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	if count == 0 {
		return fmt.Errorf("not found: none of %d slots names a relay whose document is signed", c.Slots)
	}
	return nil
}

func (c *dhtDirectoryCmd) print(o *output, e run.DirectoryEntry) error {
	line := directoryEntry{Slot: e.Slot, URL: e.URL, Name: e.Relay.Name, Why: e.Why}
	if h := e.Relay.Hornets; h != nil {
		line.PubKey, line.PeerID, line.Addrs = h.PubKey, h.PeerID, h.Addrs
	}
	var err error
	switch {
	case c.JSON:
		err = o.json(line)
	case e.Why != "":
		_, err = fmt.Fprintf(o.err, "slot %d: %q does not count: %s\n", e.Slot, e.URL, printable(e.Why))
	default:
		where := e.URL
		if where == "" {
			where = "/p2p/" + line.PeerID
		}
		_, err = fmt.Fprintf(o.out, "%d\t%q\t%q\t%s\n", e.Slot, where, line.Name, line.PubKey)
	}
	return err
}
