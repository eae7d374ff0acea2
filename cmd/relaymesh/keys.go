package main

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// parseDHTKey reads a DHT key. Nostr keys are written with 64 hex digits, too, and
// lead to another list, or none.
func parseDHTKey(text string) (string, error) {
	switch prefix := schnorr.CodePrefix(text); prefix {
	case "":
	case "npub", "nprofile":
		pubkey, err := schnorr.ParsePublicKey(text)
		if err != nil {
			return "", err
		}
		return "", fmt.Errorf("an %s is a Nostr key and no DHT key: relaymesh resolve --json %s tells its DHT key", prefix, npubOf(pubkey))
	default:
		_, err := schnorr.ReadKey(text)
		return "", err
	}
	key := strings.ToLower(schnorr.BareCode(text))
	if !nostr.IsHex(key, 32) {
		return "", fmt.Errorf("%q is not the 64 hex digits of a DHT key: it has %d characters", text, len(text))
	}
	return key, nil
}

// parseTarget reads a DHT key or a target.
func parseTarget(text string) (target [20]byte, err error) {
	if plain := strings.ToLower(schnorr.BareCode(text)); nostr.IsHex(plain, 20) {
		_, _ = hex.Decode(target[:], []byte(plain)) // checked
		return target, nil
	}
	key, err := parseDHTKey(text)
	switch {
	case err != nil && schnorr.CodePrefix(text) == "":
		return target, usage("%q is neither a DHT key of 64 hex digits nor a target of 40: it has %d characters", text, len(text))
	case err != nil:
		return target, usage("%v", err)
	}
	raw, _ := hex.DecodeString(key) // checked
	return bep44.Target([32]byte(raw), nil), nil
}

// notTheOther says of a DHT key that is nowhere, if it may be a Nostr key, how to look
// that one up.
func notTheOther(dhtKey string) string {
	if npub := npubOf(dhtKey); npub != "" {
		return fmt.Sprintf("; 64 hex digits are taken for a DHT key: if they are a Nostr key, give it as %s", npub)
	}
	return ""
}

// npubOf returns a Nostr key as npub1…, or "" if there is none of those digits.
func npubOf(key string) string {
	pubkey, err := schnorr.ParsePublicKey(key)
	if err != nil {
		return ""
	}
	npub, _ := schnorr.EncodeNpub(pubkey) // 64 hex digits
	return npub
}
