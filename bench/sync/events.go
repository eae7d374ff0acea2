package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	gonostr "github.com/nbd-wtf/go-nostr"
)

const (
	year  = 365 * 24 * 3600
	until = 1_700_000_000
	key   = "0000000000000000000000000000000000000000000000000000000000000003"
)

// set makes the events of one relay: what both have, and what only this one
// has. Only the latter are ever sent, so only they are signed.
func set(name string, common, own int) ([]*gonostr.Event, error) {
	out := make([]*gonostr.Event, 0, common+own)
	for i := range common {
		h := hash("common", i)
		out = append(out, &gonostr.Event{
			ID: hex.EncodeToString(h[:]), PubKey: strings.Repeat("0", 64), Kind: 1,
			CreatedAt: at(h), Content: "note", Sig: strings.Repeat("0", 128),
		})
	}
	for i := range own {
		h := hash(name, i)
		e := &gonostr.Event{Kind: 1, CreatedAt: at(h), Tags: gonostr.Tags{}}
		for part := range 8 { // which compresses about as well as text does
			h := hash(name, -1-8*i-part)
			e.Content += hex.EncodeToString(h[:])
		}
		if err := e.Sign(key); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func hash(name string, i int) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte(name), uint64(i)))
}

// at spreads events over a year.
func at(h [32]byte) gonostr.Timestamp {
	return gonostr.Timestamp(until - binary.BigEndian.Uint64(h[8:])%year)
}
