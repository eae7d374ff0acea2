package schnorr

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/nbd-wtf/go-nostr/nip19"

	"github.com/relaymesh/relaymesh/internal/ownfile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// SecretKey is a Nostr secret key. It is safe for concurrent use.
type SecretKey struct {
	key    *btcec.PrivateKey
	pubkey string
}

// NewSecret returns a key made from the system's random source.
func NewSecret() (*SecretKey, error) {
	key, err := btcec.NewPrivateKey()
	if err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	return newSecret(key), nil
}

// ParseSecret reads a secret key as nsec1... (NIP-19) or as 64 hex digits. Its
// errors never contain the input.
func ParseSecret(s string) (*SecretKey, error) {
	raw, err := decodeSecret(s)
	if err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	var scalar btcec.ModNScalar
	if overflow := scalar.SetByteSlice(raw); overflow || scalar.IsZero() {
		return nil, errors.New("secret key: is not in the range of secp256k1")
	}
	key, _ := btcec.PrivKeyFromBytes(raw)
	return newSecret(key), nil
}

// ReadSecretFile reads a secret key from the first line of a file. See also [ErrNoSecret].
func ReadSecretFile(path string) (*SecretKey, error) {
	if _, err := ParseSecret(path); err == nil {
		return nil, errors.New("secret key file: this is a secret key, and not the name of a file that holds one")
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", err, ErrNoSecret)
	}
	if err != nil {
		return nil, fmt.Errorf("secret key file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, fmt.Errorf("secret key file: %w", err)
	}
	if len(bytes.Trim(data, "\x00 \r\n")) == 0 {
		return nil, fmt.Errorf("secret key file: %s is empty: %w", path, ErrNoSecret)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	sk, err := ParseSecret(strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return sk, nil
}

// ErrNoSecret says that a secret file is missing, or that a crash of the machine has left it empty.
var ErrNoSecret = errors.New("there is no secret key yet")

// OpenSecretFile is [ReadSecretFile] of a file that is made, with a new key, if there is none. See [ErrNoSecret] for an
// empty one, which is set aside with a warning.
func OpenSecretFile(path string, log *slog.Logger) (*SecretKey, error) {
	key, err := ReadSecretFile(path)
	if !errors.Is(err, ErrNoSecret) {
		return key, err
	}
	if _, err := ownfile.SetAside(path); err == nil {
		log.Warn("a key file is empty, as after a crash of the machine: others will know us by another key", "path", path)
	}
	if key, err = NewSecret(); err != nil {
		return nil, err
	}
	return key, ownfile.Write(path, []byte(key.Hex()+"\n"), 0o600)
}

func newSecret(key *btcec.PrivateKey) *SecretKey {
	return &SecretKey{key: key, pubkey: hex.EncodeToString(schnorr.SerializePubKey(key.PubKey()))}
}

// PublicKey returns the x-only public key, 64 hex digits.
func (sk *SecretKey) PublicKey() string { return sk.pubkey }

// Hex returns the secret as 64 hex digits, for writing a key file or for
// deriving another key. Do not log it.
func (sk *SecretKey) Hex() string { return hex.EncodeToString(sk.key.Serialize()) }

// SignEvent signs like [Sign]; as a method value it is the signing function
// that relay connections take for NIP-42.
func (sk *SecretKey) SignEvent(e *nostr.Event) error { return Sign(e, sk) }

// SignHash returns the BIP-340 signature of a SHA-256, 128 hex digits.
func (sk *SecretKey) SignHash(hash [32]byte) (string, error) { return sk.sign(hash[:]) }

// String keeps the secret out of logs; it names the public half.
func (sk *SecretKey) String() string { return "secret key of " + sk.pubkey }

// GoString keeps the secret out of %#v.
func (sk *SecretKey) GoString() string { return sk.String() }

// sign returns the BIP-340 signature of a 32-byte message, 128 hex digits.
// The nonce is deterministic, so equal messages get equal signatures.
func (sk *SecretKey) sign(msg []byte) (string, error) {
	sig, err := schnorr.Sign(sk.key, msg, schnorr.FastSign())
	if err != nil {
		return "", fmt.Errorf("sig: %w", err)
	}
	return hex.EncodeToString(sig.Serialize()), nil
}

// ParsePublicKey reads a public key as npub1... or nprofile1... (NIP-19) or as 64
// hex digits and returns it as hex. It checks that the key is a point of the curve.
func ParsePublicKey(s string) (string, error) {
	pubkey, err := ReadKey(s)
	if err != nil {
		return "", fmt.Errorf("public key: %w", err)
	}
	raw, _ := hex.DecodeString(pubkey) // checked
	if _, err := schnorr.ParsePubKey(raw); err != nil {
		return "", errors.New("public key: there is none of these digits; are they the id of an event, or a DHT key?")
	}
	return pubkey, nil
}

// EncodeNpub writes a public key of 64 hex digits as npub1... (NIP-19).
func EncodeNpub(pubkey string) (string, error) {
	if !nostr.IsHex(pubkey, 32) { // go-nostr writes any hex
		return "", errors.New("key: want 64 lower-case hex digits")
	}
	return nip19.EncodePublicKey(pubkey)
}

// decodeSecret reads 32 bytes as hex or as nsec1....
func decodeSecret(s string) ([]byte, error) {
	switch given := CodePrefix(s); given {
	case "nsec":
		c, err := parseCode(s)
		if err != nil {
			return nil, err
		}
		s = c.key
	case "":
		s = BareCode(s)
	default:
		return nil, fmt.Errorf("want nsec1... or 64 hex digits, not an %s", given)
	}
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != 32 {
		return nil, errors.New("want nsec1... or 64 hex digits")
	}
	return raw, nil
}
