package run

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
)

// DirectoryEntry is what a slot of a directory names.
type DirectoryEntry = dht.DirectoryEntry

// SearchDirectory searches the directory of a key on the DHT, with a node that
// lives for this one search. It publishes nothing. found is called for every
// entry, one at a time.
func SearchDirectory(ctx context.Context, c config.Config, key [32]byte, slots int, log *slog.Logger, found func(DirectoryEntry)) error {
	node, err := StartNode(ctx, c, log)
	if err != nil {
		return err
	}
	defer node.Close()
	d := dht.Directory{
		Network: network{node: node}, Read: readSigned, AllowPrivate: c.AllowPrivate,
		Probe: func(ctx context.Context, url string) (contract.Relay, error) {
			info, err := relay.FetchInfo(ctx, url, relay.Options{AllowPrivate: c.AllowPrivate, Log: log})
			if err != nil {
				return contract.Relay{}, err
			}
			return describe(url, &info)
		},
	}
	return d.Search(ctx, key, slots, found)
}

// readSigned reads a NIP-11 document that is signed.
func readSigned(document []byte) (contract.Relay, error) {
	var info relay.Info
	if err := json.Unmarshal(document, &info); err != nil {
		return contract.Relay{}, fmt.Errorf("NIP-11: %w", err)
	}
	return describe("", &info)
}
