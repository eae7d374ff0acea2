package schnorr

import (
	"encoding/hex"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Verify checks the shape and id of an event ([nostr.Event.Check]) and its
// BIP-340 signature over the id. The error begins with the field at fault:
// "sig", "pubkey", "id" or another field of the event.
func Verify(e *nostr.Event) error {
	if err := e.Check(); err != nil {
		return err
	}
	return VerifySignature(e)
}

// VerifySignature is [Verify] of an event that has been checked. What is good is
// [Verified] from then on.
func VerifySignature(e *nostr.Event) error {
	ok, err := verify(e.Sig, e.ID, e.PubKey)
	if err != nil {
		return err
	}
	if !ok {
		return errSignature
	}
	remember(e)
	return nil
}

// Sign makes sk the author of the event: it sets PubKey, ID and Sig, and makes
// missing tags an empty list, because relays refuse null. The other fields
// must be final.
func Sign(e *nostr.Event, sk *SecretKey) error {
	if e.Tags == nil {
		e.Tags = []nostr.Tag{}
	}
	e.PubKey = sk.PublicKey()
	e.ID = e.Hash()
	id, err := hex.DecodeString(e.ID)
	if err != nil {
		return fmt.Errorf("id: %w", err)
	}
	if e.Sig, err = sk.sign(id); err != nil {
		return err
	}
	return e.Check()
}

// VerifyHash reports whether sig, 128 hex digits, is the BIP-340 signature of a
// SHA-256 by the key, 64 hex digits. An error says which of them is none.
func VerifyHash(sig, pubkey string, hash [32]byte) (bool, error) {
	return verify(sig, hex.EncodeToString(hash[:]), pubkey)
}

// verify checks a BIP-340 signature of a 32-byte message; all three are hex.
// An error says which of the three cannot be what it claims to be.
func verify(sig, msg, pubkey string) (bool, error) {
	rawSig, err := hex.DecodeString(sig)
	if err != nil {
		return false, fmt.Errorf("sig: %w", err)
	}
	s, err := schnorr.ParseSignature(rawSig)
	if err != nil {
		return false, fmt.Errorf("sig: %w", err)
	}
	rawKey, err := hex.DecodeString(pubkey)
	if err != nil {
		return false, fmt.Errorf("pubkey: %w", err)
	}
	key, err := schnorr.ParsePubKey(rawKey)
	if err != nil {
		return false, fmt.Errorf("pubkey: %w", err)
	}
	hash, err := hex.DecodeString(msg)
	if err != nil {
		return false, fmt.Errorf("id: %w", err)
	}
	return s.Verify(hash, key), nil
}
