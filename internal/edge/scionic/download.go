package scionic

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fxamacker/cbor/v2"

	"github.com/relaymesh/relaymesh/internal/ownfile"
)

// Protocol is the name of the protocol on libp2p.
const Protocol = "/download"

// What a peer may send for one DAG. maxMessage is about what one message may
// have: HORNETS's library fills a packet with 4 MiB. maxLeaves bounds the links
// of all leaves together, too, and their further data: an empty string takes a
// byte on the wire and sixteen in memory.
const (
	maxBytes   = 64 << 20
	maxMessage = 8 << 20
	maxLeaves  = 100_000
	maxPackets = 100_000
)

// decoding is how messages are read.
var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{MaxArrayElements: maxLeaves, MaxMapPairs: maxLeaves}.DecMode()
	if err != nil {
		panic(err) // the options are ours
	}
	return mode
}()

// The messages, as HORNETS names and encodes them.
type (
	envelope struct {
		Type    string          `cbor:"type"`
		Payload cbor.RawMessage `cbor:"payload"`
	}
	// request is its DownloadMessage, unsigned and without a filter: the
	// whole DAG.
	request struct {
		Root, PublicKey, Signature string
		Filter                     *struct{}
	}
	// packet is its UploadMessage. Who has signed it does not matter: the
	// root does.
	packet struct {
		Root          string
		Packet        struct{ Leaves []*Leaf }
		IsFinalPacket bool
	}
	response struct {
		Ok      bool
		Message string
	}
	failure struct{ Message string }
)

const (
	typeRequest  = "lib.DownloadMessage"
	typeResponse = "lib.ResponseMessage"
	typeError    = "error"
)

// Download asks the peer at the other end of a stream for a DAG and verifies
// it. The caller sets the stream's deadline and closes it.
func Download(stream io.ReadWriter, root string) (*DAG, error) {
	if err := checkRoot(root); err != nil {
		return nil, err
	}
	if err := send(stream, typeRequest, request{Root: root}); err != nil {
		return nil, err
	}
	dag := &DAG{Root: root, Leafs: map[string]*Leaf{}}
	all := &io.LimitedReader{R: stream, N: maxBytes}
	message := &io.LimitedReader{R: all}
	in := decoding.NewDecoder(message)
	parts := 0 // links and further data
	for range maxPackets {
		message.N = maxMessage
		p, err := receive(in)
		if err != nil {
			switch {
			case all.N <= 0:
				err = fmt.Errorf("it is larger than %d MiB", maxBytes>>20)
			case message.N <= 0:
				err = fmt.Errorf("a message is larger than %d MiB", maxMessage>>20)
			}
			return nil, fmt.Errorf("scionic: %w", err)
		}
		if p.Root != root {
			return nil, fmt.Errorf("scionic: the peer sends another DAG, %.64q", p.Root)
		}
		for _, l := range p.Packet.Leaves {
			if l == nil || len(dag.Leafs) >= maxLeaves {
				return nil, fmt.Errorf("scionic: a leaf that is none, or more than %d", maxLeaves)
			}
			if parts += len(l.Links) + len(l.AdditionalData); parts > maxLeaves {
				return nil, fmt.Errorf("scionic: more than %d links and further data", maxLeaves)
			}
			dag.Leafs[l.Hash] = l
		}
		if err := send(stream, typeResponse, response{Ok: true}); err != nil {
			return nil, err
		}
		if p.IsFinalPacket {
			return dag, dag.Verify()
		}
	}
	return nil, fmt.Errorf("scionic: more than %d packets", maxPackets)
}

func send(w io.Writer, kind string, payload any) error {
	text, err := cbor.Marshal(payload)
	if err == nil {
		text, err = cbor.Marshal(envelope{kind, text})
	}
	if err == nil {
		_, err = w.Write(text)
	}
	if err != nil {
		return fmt.Errorf("scionic: %w", err)
	}
	return nil
}

func receive(in *cbor.Decoder) (packet, error) {
	var e envelope
	var p packet
	if err := in.Decode(&e); err != nil {
		return p, err
	}
	if e.Type == typeError {
		var f failure
		_ = decoding.Unmarshal(e.Payload, &f) // without words it is a refusal, too
		return p, fmt.Errorf("the peer refused: %.200q", f.Message)
	}
	return p, decoding.Unmarshal(e.Payload, &p)
}

// FileName is the name of the file of a DAG.
func FileName(root string) string { return root + ".cbor" }

// Write writes a DAG into a directory as one file, see [FileName], in the form
// in which HORNETS's libraries read it. It is there whole or not at all.
func (d *DAG) Write(dir string) (path string, err error) {
	if err := checkRoot(d.Root); err != nil {
		return "", err
	}
	text, err := cbor.Marshal(d)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path = filepath.Join(dir, FileName(d.Root))
	if err := ownfile.Write(path, text, 0o600); err != nil {
		return "", err
	}
	return path, nil
}
