package relay

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
)

// maxHornetsAddrs is how many addresses an extension may name.
const maxHornetsAddrs = 32

// Errors of [Info.Hornets].
var (
	// ErrNoHornets says that the document has no HORNETS extension: the relay
	// is of another kind.
	ErrNoHornets = errors.New("no HORNETS extension")
	// ErrHornetsSignature says that the extension is not signed by the key
	// that the document names.
	ErrHornetsSignature = errors.New("hornet_extension: signature: is not the signature of the document's pubkey")
)

// Hornets is the extension with which HORNETS relays tell in their NIP-11
// document where they are on libp2p. The relay's key has signed it together
// with most of the document; that it may be dialled is not said.
type Hornets struct {
	PubKey string   // of the relay, x-only, 64 lower-case hex digits
	PeerID string   // libp2p peer id in base58, not parsed
	Addrs  []string // multiaddrs, not parsed; at most 32
	// Updated is when it was signed; zero where the signature does not cover
	// it, as with all HORNETS relays known.
	Updated time.Time
}

// hornetExtension is the extension as it stands in the document.
type hornetExtension struct {
	ID        string          `json:"libp2p_id"`
	Addrs     []string        `json:"libp2p_addrs"`
	Signature string          `json:"signature"`
	Updated   json.RawMessage `json:"last_updated"`
}

// Hornets reads the HORNETS extension and verifies its signature: BIP-340 over
// the SHA-256 of one of the packings that HORNETS has had. The key may be
// x-only, as NIP-11 has it, or compressed with either parity, as older relays
// have it. The error is [ErrNoHornets], [ErrHornetsSignature], or names the
// field that cannot be read.
func (i *Info) Hornets() (Hornets, error) {
	if len(i.HornetExtension) == 0 || string(i.HornetExtension) == "null" {
		return Hornets{}, ErrNoHornets
	}
	var ext hornetExtension
	if err := json.Unmarshal(i.HornetExtension, &ext); err != nil {
		return Hornets{}, fmt.Errorf("hornet_extension: %w", err)
	}
	pubkey, err := hex.DecodeString(i.PubKey)
	if err != nil || len(pubkey) != 32 && (len(pubkey) != 33 || pubkey[0] != 2 && pubkey[0] != 3) {
		return Hornets{}, errors.New("pubkey: want 64 hex digits, or 66 that begin with 02 or 03")
	}
	if err := i.packable(ext); err != nil {
		return Hornets{}, err
	}
	h := Hornets{PubKey: hex.EncodeToString(pubkey[len(pubkey)-32:]), PeerID: ext.ID, Addrs: ext.Addrs}
	var updated time.Time
	_ = json.Unmarshal(ext.Updated, &updated) // what is missing or no time stays zero
	for _, form := range []struct {
		packed  []byte
		updated time.Time
	}{
		{i.pack(ext, pubkey, time.Time{}), time.Time{}}, // HORNETS sets the time after it signed
		{i.pack(ext, pubkey, updated), updated},
		{i.packOld(ext, pubkey), time.Time{}},
	} {
		ok, err := schnorr.VerifyHash(ext.Signature, h.PubKey, sha256.Sum256(form.packed))
		if err != nil {
			return Hornets{}, fmt.Errorf("hornet_extension: %w", err)
		}
		if ok {
			h.Updated = form.updated
			return h, nil
		}
	}
	return Hornets{}, ErrHornetsSignature
}

// packable refuses what would make a packing ambiguous: its fields end with a
// zero byte, so that a zero byte within one could move the border between two,
// and a signature of one document would fit another.
func (i *Info) packable(ext hornetExtension) error {
	for _, text := range append([]string{i.Name, i.Description, i.Contact, i.Software, i.Version, ext.ID}, ext.Addrs...) {
		if strings.ContainsRune(text, 0) {
			return fmt.Errorf("%.80q: holds a zero byte", text)
		}
	}
	if ext.ID == "" {
		return errors.New("hornet_extension: libp2p_id: missing")
	}
	if n := len(ext.Addrs); n == 0 || n > maxHornetsAddrs || slices.Contains(ext.Addrs, "") {
		return fmt.Errorf("hornet_extension: libp2p_addrs: want 1 to %d of them, none empty", maxHornetsAddrs)
	}
	return nil
}

// pack is what HORNETS has signed since 2024.
func (i *Info) pack(ext hornetExtension, pubkey []byte, updated time.Time) []byte {
	p := packTexts(nil, i.Name, i.Description)
	p = append(p, pubkey...)
	p = packTexts(p, i.Contact)
	p = i.packNIPs(p)
	p = packTexts(p, i.Software, i.Version, ext.ID)
	p = packTexts(p, ext.Addrs...)
	p = append(p, 0)
	return binary.BigEndian.AppendUint64(p, uint64(updated.Unix())) //nolint:gosec // two's complement is what is signed
}

// packOld is what it signed before.
func (i *Info) packOld(ext hornetExtension, pubkey []byte) []byte {
	p := packTexts(nil, ext.ID, i.Name)
	p = packTexts(p, ext.Addrs...)
	p = append(p, 0)
	return i.packNIPs(append(p, pubkey...))
}

func (i *Info) packNIPs(p []byte) []byte {
	for _, nip := range slices.Sorted(slices.Values(i.SupportedNIPs)) {
		p = binary.BigEndian.AppendUint32(p, uint32(nip)) //nolint:gosec // cut off like there
	}
	return p
}

func packTexts(p []byte, texts ...string) []byte {
	for _, text := range texts {
		p = append(append(p, text...), 0)
	}
	return p
}
