package homerelay

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A relay of certain kinds stores its events packed, a third smaller than their JSON, of which half is hex digits and names that all
// have: the mark, pubkey, sig, created_at and kind, and then the JSON from the tags on to a brace behind the content. The id is
// the key. Both forms may lie in one file.
const (
	packMark  = "\xffnev" // begins no JSON
	packFixed = len(packMark) + 32 + 64
	tagsName  = `,"tags":`
	sigName   = `,"sig":"`
)

var errPacked = errors.New("it is packed as none is: the store is damaged")

// pack returns the packed form of an event, by its JSON as [nostr.Encode] writes it. That of a signature which is not 128
// lower-case hex digits stays.
func pack(r *record, text []byte) []byte {
	sig, err := hex.DecodeString(r.event.Sig)
	_, rest, found := bytes.Cut(text, []byte(tagsName))
	tail := len(sigName) + len(r.event.Sig) + len(`"}`)
	if err != nil || !nostr.IsHex(r.event.Sig, 64) || !found || len(rest) < tail {
		return text
	}
	b := make([]byte, 0, len(text))
	b = append(append(append(b, packMark...), r.pubkey[:]...), sig...)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(r.event.CreatedAt)), uint64(r.event.Kind))
	return append(append(b, rest[:len(rest)-tail]...), '}')
}

// packed is what an event is in its packed form, beside its id.
type packed struct {
	pubkey, sig []byte
	at, kind    uint64
	rest        []byte // from the tags on
}

// unpack returns the JSON of an event as it is stored under an id, in either form; the result may be the argument.
func unpack(id, stored []byte) ([]byte, error) {
	if !bytes.HasPrefix(stored, []byte(packMark)) {
		return stored, nil
	}
	p, err := parsePacked(stored)
	if err != nil || len(p.rest) == 0 {
		return nil, errPacked
	}
	b := make([]byte, 0, len(stored)+256)
	b = hex.AppendEncode(append(b, `{"id":"`...), id)
	b = hex.AppendEncode(append(b, `","pubkey":"`...), p.pubkey)
	b = strconv.AppendUint(append(b, `","created_at":`...), p.at, 10)
	b = strconv.AppendUint(append(b, `,"kind":`...), p.kind, 10)
	b = append(append(b, tagsName...), p.rest[:len(p.rest)-1]...)
	return append(hex.AppendEncode(append(b, sigName...), p.sig), `"}`...), nil
}

func parsePacked(b []byte) (p packed, err error) {
	if len(b) < packFixed {
		return p, errPacked
	}
	fixed, rest := b[len(packMark):packFixed], b[packFixed:]
	p.pubkey, p.sig = fixed[:32], fixed[32:]
	for _, number := range []*uint64{&p.at, &p.kind} {
		value, n := binary.Uvarint(rest)
		if n <= 0 {
			return p, errPacked
		}
		*number, rest = value, rest[n:]
	}
	p.rest = rest
	return p, nil
}

// packedAt returns the event that lies packed at an offset of a file, or nil; it is not checked.
func packedAt(f *os.File, offset int64) *nostr.Event {
	head := make([]byte, packFixed+2*binary.MaxVarintLen64)
	n, _ := f.ReadAt(head, offset) // less, at the end of the file
	head = head[:n]
	p, err := parsePacked(head)
	if err != nil {
		return nil
	}
	body := io.NewSectionReader(f, offset+int64(len(head)-len(p.rest)), 2*nostr.MaxEventBytes)
	var text json.RawMessage
	var e nostr.Event
	if json.NewDecoder(io.MultiReader(strings.NewReader(`{"tags":`), body)).Decode(&text) != nil || e.UnmarshalJSON(text) != nil {
		return nil
	}
	e.PubKey, e.Sig = hex.EncodeToString(p.pubkey), hex.EncodeToString(p.sig)
	e.CreatedAt, e.Kind = int64(p.at), int(p.kind)
	e.ID = e.Hash()
	return &e
}
