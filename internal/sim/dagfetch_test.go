//go:build scionic

package sim_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/fxamacker/cbor/v2"
	"github.com/libp2p/go-libp2p/core/crypto"
	libp2p "github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/p2p/node"
	"github.com/relaymesh/relaymesh/internal/edge/scionic"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// hornets is a relay that says in its NIP-11 document where it is on libp2p,
// and gives a DAG there. gone tells of each peer that hung up.
func hornets(t *testing.T, dag scionic.DAG) (url string, gone chan struct{}) {
	t.Helper()
	secret, err := hex.DecodeString(user(t, "hornets").Hex())
	if err != nil {
		t.Fatal(err)
	}
	key, err := crypto.UnmarshalSecp256k1PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.New(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Listen(ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1")); err != nil {
		t.Fatal(err)
	}
	h, err := basichost.NewHost(n.Swarm, &basichost.HostOpts{})
	if err != nil {
		t.Fatal(err)
	}
	gone = make(chan struct{}, 100)
	n.Notify(&libp2p.NotifyBundle{DisconnectedF: func(libp2p.Network, libp2p.Conn) { gone <- struct{}{} }})
	h.Start()
	t.Cleanup(func() { h.Close(); n.Close() })
	h.SetStreamHandler(scionic.Protocol, func(s libp2p.Stream) {
		defer s.Close()
		var request map[string]any
		in, out := cbor.NewDecoder(s), cbor.NewEncoder(s)
		if in.Decode(&request) != nil {
			return
		}
		left := len(dag.Leafs)
		for _, l := range dag.Leafs {
			left--
			_ = out.Encode(map[string]any{"type": "lib.UploadMessage", "payload": map[string]any{
				"Root": dag.Root, "Packet": map[string]any{"Leaves": []any{l}}, "IsFinalPacket": left == 0,
			}})
			_ = in.Decode(&request)
		}
	})
	addrs, err := n.InterfaceListenAddresses()
	if err != nil {
		t.Fatal(err)
	}
	addr := addrs[0].String()

	pubkey, err := hex.DecodeString(user(t, "hornets").PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	signed := append([]byte(h.ID().String()+"\x00r\x00"+addr+"\x00\x00"), pubkey...)
	hash := sha256.Sum256(binary.BigEndian.AppendUint32(signed, 1))
	private, _ := btcec.PrivKeyFromBytes(secret)
	sig, err := schnorr.Sign(private, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(map[string]any{
		"name": "r", "pubkey": hex.EncodeToString(pubkey), "supported_nips": []int{1}, "hornet_extension": map[string]any{
			"libp2p_id": h.ID().String(), "libp2p_addrs": []string{addr}, "signature": hex.EncodeToString(sig.Serialize()),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	url = serveRelay(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(document) }))
	return url, gone
}

func TestADAGIsFetchedFromTheAuthorsRelay(t *testing.T) {
	text, err := os.ReadFile("../edge/scionic/testdata/folder.json")
	if err != nil {
		t.Fatal(err)
	}
	var dag scionic.DAG
	if err := json.Unmarshal(text, &dag); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	alice := user(t, "alice").PublicKey()
	url, gone := hornets(t, dag)
	put(w, contract.BucketAuthors, alice, contract.Author{Lists: map[string]contract.List{
		contract.ViaNIP65: {Write: []string{"ws://127.0.0.1:1", url}},
	}})
	dir := t.TempDir()
	c := config.Config{Relay: "ws://127.0.0.1:1", AllowPrivate: true, Drain: time.Second, DAGDir: dir}
	workers := natstest.Connect(t, w.Server)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run.Run(ctx, c, workers, w.log, []string{contract.StageFetcher}, func() {}) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, scionic.FileName(dag.Root))
	for deadline := time.Now().Add(time.Minute); ; {
		// A message is passed over while nobody listens, and what is none is
		// no harm.
		w.Publish(events.SubjectDAGWanted, []byte("no JSON"))
		w.Publish(events.SubjectDAGWanted, nostr.Encode(events.DAGWanted{Root: strings.Repeat("/", 59), PubKey: alice}))
		w.Publish(events.SubjectDAGWanted, nostr.Encode(events.DAGWanted{Root: dag.Root, PubKey: alice}))
		if text, err = os.ReadFile(path); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the DAG was not fetched")
		}
		time.Sleep(50 * time.Millisecond) // nothing tells when a file is there
	}
	var got scionic.DAG
	if err := cbor.Unmarshal(text, &got); err != nil || got.Verify() != nil || len(got.Leafs) != len(dag.Leafs) {
		t.Errorf("%+v, %v", got, err)
	}
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("the relay was not hung up on after the download")
	}
}
