package scionic

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// Leaf is one node of a DAG, as it is on the wire. The root alone has
// LeafCount, ContentSize and DagSize, which its hash covers.
type Leaf struct {
	Hash              string
	ItemName          string
	Type              string
	ContentHash       []byte
	Content           []byte
	ClassicMerkleRoot []byte
	CurrentLinkCount  int
	LeafCount         int
	ContentSize       int64
	DagSize           int64
	Links             []string
	AdditionalData    map[string]string
}

// DAG is a whole DAG: its leaves by hash.
type DAG struct {
	Root  string
	Leafs map[string]*Leaf
}

func checkRoot(root string) error {
	if !contract.IsDAGRoot(root) {
		return fmt.Errorf("scionic root %.64q: want a CID (version 1, cbor, SHA-256) in base32", root)
	}
	return nil
}

// The fields of a leaf that its hash covers, in their order; names and order
// matter.
type (
	hashed struct {
		ItemName         string
		Type             string
		MerkleRoot       []byte
		CurrentLinkCount int
		ContentHash      []byte
		AdditionalData   []pair
	}
	hashedRoot struct {
		ItemName         string
		Type             string
		MerkleRoot       []byte
		CurrentLinkCount int
		LeafCount        int
		ContentSize      int64
		DagSize          int64
		ContentHash      []byte
		AdditionalData   []pair
	}
	pair struct{ Key, Value string }
)

// hash is the CID that the leaf ought to have.
func (l *Leaf) hash(root bool) (string, error) {
	data := make([]pair, 0, len(l.AdditionalData)) // never nil, which CBOR tells from empty
	for _, key := range slices.Sorted(maps.Keys(l.AdditionalData)) {
		data = append(data, pair{key, l.AdditionalData[key]})
	}
	children := append([]byte{}, l.ClassicMerkleRoot...)
	var covered any = hashed{l.ItemName, l.Type, children, l.CurrentLinkCount, l.ContentHash, data}
	if root {
		covered = hashedRoot{l.ItemName, l.Type, children, l.CurrentLinkCount, l.LeafCount, l.ContentSize, l.DagSize, l.ContentHash, data}
	}
	text, err := cbor.Marshal(covered)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	const version, codecCBOR, sha2 = 1, 0x51, 0x12
	cid := append([]byte{version, codecCBOR, sha2, sha256.Size}, sum[:]...)
	return "b" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(cid)), nil
}

// verify checks a leaf alone: its hash, its content and the hash over its
// links.
func (l *Leaf) verify(root bool) error {
	hash, err := l.hash(root)
	switch {
	case err != nil:
		return err
	case hash != l.Hash:
		return fmt.Errorf("leaf %.64q: hashes to %s", l.Hash, hash)
	case len(l.Links) != l.CurrentLinkCount:
		return fmt.Errorf("leaf %s: has %d of %d links", l.Hash, len(l.Links), l.CurrentLinkCount)
	case !bytes.Equal(l.ClassicMerkleRoot, merkleRoot(l.Links)):
		return fmt.Errorf("leaf %s: its links are others than it hashes", l.Hash)
	case len(l.ContentHash) == 0 && len(l.Content) > 0:
		return fmt.Errorf("leaf %s: has content that it does not hash", l.Hash)
	}
	if sum := sha256.Sum256(l.Content); len(l.ContentHash) > 0 && !bytes.Equal(sum[:], l.ContentHash) {
		return fmt.Errorf("leaf %s: its content is another than it hashes", l.Hash)
	}
	return nil
}

// merkleRoot is the classic Merkle root over a set of links: of one it is the
// link itself, of more a tree over the hashes of the sorted links, in which an
// odd one is paired with itself.
func merkleRoot(links []string) []byte {
	links = slices.Compact(slices.Sorted(slices.Values(links)))
	if len(links) == 0 {
		return nil
	}
	if len(links) == 1 {
		return []byte(links[0])
	}
	var level [][sha256.Size]byte
	for _, link := range links {
		level = append(level, sha256.Sum256([]byte(link)))
	}
	for len(level) > 1 {
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		for i := range len(level) / 2 {
			level[i] = sha256.Sum256(append(level[2*i][:], level[2*i+1][:]...))
		}
		level = level[:len(level)/2]
	}
	return level[0][:]
}

// Verify checks that the DAG is whole and that every leaf of it is bound by the
// root: then nothing in it was changed, added or left out.
func (d *DAG) Verify() error {
	root := d.Leafs[d.Root]
	if root == nil || root.Hash != d.Root {
		return errors.New("scionic: the root is missing")
	}
	if root.LeafCount != len(d.Leafs) {
		return fmt.Errorf("scionic: %d of %d leaves", len(d.Leafs), root.LeafCount)
	}
	reached := map[string]bool{d.Root: true}
	for next := []*Leaf{root}; len(next) > 0; {
		l := next[len(next)-1]
		next = next[:len(next)-1]
		if err := l.verify(l == root); err != nil {
			return fmt.Errorf("scionic: %w", err)
		}
		for _, link := range l.Links {
			child := d.Leafs[link]
			if child == nil || child.Hash != link {
				return fmt.Errorf("scionic: leaf %.64q is missing", link)
			}
			if !reached[link] {
				reached[link] = true
				next = append(next, child)
			}
		}
	}
	if len(reached) != len(d.Leafs) {
		return fmt.Errorf("scionic: %d leaves belong to nothing", len(d.Leafs)-len(reached))
	}
	return nil
}
