package schnorr

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// SignRelayList signs a relay list as HORNETS does: BIP-340 over the SHA-256
// of the list as JSON text. The signature is 128 hex digits.
func SignRelayList(relays []string, sk *SecretKey) (string, error) {
	text, err := json.Marshal(nonNil(relays))
	if err != nil {
		return "", fmt.Errorf("relay list: %w", err)
	}
	sum := sha256.Sum256(text)
	return sk.sign(sum[:])
}

// VerifyRelayList checks such a signature; sig and pubkey are hex. HORNETS
// writes & < > in JSON as Go does (\u0026), browsers write them as they are:
// a signature of either text is accepted.
func VerifyRelayList(relays []string, sig, pubkey string) error {
	escaped, err := json.Marshal(nonNil(relays))
	if err != nil {
		return fmt.Errorf("relay list: %w", err)
	}
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(nonNil(relays)); err != nil {
		return fmt.Errorf("relay list: %w", err)
	}
	for _, text := range [][]byte{escaped, bytes.TrimSuffix(plain.Bytes(), []byte("\n"))} {
		sum := sha256.Sum256(text)
		ok, err := verify(sig, hex.EncodeToString(sum[:]), pubkey)
		if err != nil {
			return fmt.Errorf("relay list: %w", err)
		}
		if ok {
			return nil
		}
	}
	return errors.New("relay list: sig: is not the owner's signature of the list")
}

// nonNil makes an empty list "[]" and never "null".
func nonNil(relays []string) []string {
	if relays == nil {
		return []string{}
	}
	return relays
}
