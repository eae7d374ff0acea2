package bep44

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha1"
	"strconv"
)

// The limits of BEP 44, and the highest sequence number that every implementation keeps exactly.
const (
	MaxValue = 1000      // bytes of the bencoded value
	MaxSalt  = 64        // bytes
	MaxSeq   = 1<<53 - 1 // JavaScript nodes silently drop items above it
)

// Item is a mutable item as its owner signed it. Its bytes are never changed on the way: a value that was bencoded
// in another way would need another signature.
type Item struct {
	Key   [32]byte // ed25519 public key
	Salt  []byte   // at most 64 bytes; empty and nil are the same
	Seq   int64    // 0 to 2^53-1, rises with every new value
	Value []byte   // one bencoded value, at most 1000 bytes
	Sig   [64]byte // ed25519 signature over SignedBuffer
}

// Target returns SHA-1(key ‖ salt), the DHT id near which an item of that key and salt is stored.
func Target(key [32]byte, salt []byte) [20]byte {
	var buf [32 + MaxSalt]byte
	return sha1.Sum(append(append(buf[:0], key[:]...), salt...))
}

// Target returns the DHT id near which the item is stored.
func (it *Item) Target() [20]byte { return Target(it.Key, it.Salt) }

// SignedBuffer returns the bytes that the signature covers; see the package documentation for their layout.
func (it *Item) SignedBuffer() []byte {
	buf := make([]byte, 0, len("4:salt64:")+len(it.Salt)+len("3:seqi9007199254740991e1:v")+len(it.Value))
	if len(it.Salt) > 0 {
		buf = append(buf, "4:salt"...)
		buf = strconv.AppendInt(buf, int64(len(it.Salt)), 10)
		buf = append(append(buf, ':'), it.Salt...)
	}
	buf = append(buf, "3:seqi"...)
	buf = strconv.AppendInt(buf, it.Seq, 10)
	buf = append(buf, "e1:v"...)
	return append(buf, it.Value...)
}

// Check refuses what must never be signed, stored or published, and says why with the code a node would answer:
// a salt over 64 bytes (207), a seq outside 0 to 2^53-1 (203), a value over 1000 bytes (205) or not one canonical
// bencoded value (203). It does not look at key and signature.
func (it *Item) Check() error {
	if len(it.Salt) > MaxSalt {
		return refuse(CodeSaltTooBig, "salt has %d bytes of at most %d", len(it.Salt), MaxSalt)
	}
	if it.Seq < 0 || it.Seq > MaxSeq {
		return refuse(CodeProtocol, "seq %d is not within 0 and %d", it.Seq, int64(MaxSeq))
	}
	if len(it.Value) > MaxValue {
		return refuse(CodeValueTooBig, "value has %d bytes of at most %d", len(it.Value), MaxValue)
	}
	_, rest, err := ScanValue(it.Value)
	if err != nil {
		return err
	}
	if len(rest) != 0 {
		return refuse(CodeProtocol, "%d bytes after the value", len(rest))
	}
	return nil
}

// Verify is Check, and then the signature (206). Go refuses some signatures that laxer nodes accept; what Go refuses
// is not published.
func (it *Item) Verify() error {
	if err := it.Check(); err != nil {
		return err
	}
	if SmallOrder(it.Key) {
		return refuse(CodeBadSignature, "key has a small order: anyone can sign for it")
	}
	if !ed25519.Verify(it.Key[:], it.SignedBuffer(), it.Sig[:]) {
		return ErrBadSignature
	}
	return nil
}

// Sign sets Key and Sig after Check.
func (it *Item) Sign(key ed25519.PrivateKey) error {
	if err := it.Check(); err != nil {
		return err
	}
	copy(it.Key[:], key.Public().(ed25519.PublicKey))
	copy(it.Sig[:], ed25519.Sign(key, it.SignedBuffer()))
	return nil
}

// Equal reports whether the two items are the same to the byte.
func (it *Item) Equal(other *Item) bool {
	return it.Key == other.Key && it.Seq == other.Seq && it.Sig == other.Sig &&
		bytes.Equal(it.Salt, other.Salt) && bytes.Equal(it.Value, other.Value)
}
