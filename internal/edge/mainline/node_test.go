package mainline_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// The library's queries to nodes that do not answer go on for some seconds after its server was closed, and end then.
func TestMain(m *testing.M) {
	code := m.Run()
	for begun := time.Now(); code == 0; {
		err := goleak.Find()
		if err == nil {
			break
		}
		if time.Since(begun) > 30*time.Second {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func startNetwork(t testing.TB, size int) *dhtnet.Network {
	t.Helper()
	network, err := dhtnet.Start(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
	})
	return network
}

func startClient(t testing.TB, network *dhtnet.Network) *mainline.Node {
	t.Helper()
	node, err := network.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	return node
}

func sign(t testing.TB, owner, salt string, seq int64, text string) bep44.Item {
	t.Helper()
	seed := sha256.Sum256([]byte(owner))
	it := bep44.Item{Salt: []byte(salt), Seq: seq, Value: bep44.EncodeString([]byte(text))}
	if err := it.Sign(ed25519.NewKeyFromSeed(seed[:])); err != nil {
		t.Fatal(err)
	}
	return it
}

func mustPut(t testing.TB, node *mainline.Node, it bep44.Item) mainline.PutResult {
	t.Helper()
	res, err := node.Put(t.Context(), it, mainline.PutOptions{})
	if err != nil {
		t.Fatalf("put: %v (%+v)", err, res)
	}
	return res
}

func mustGet(t testing.TB, node *mainline.Node, like bep44.Item) mainline.GetResult {
	t.Helper()
	res, err := node.Get(t.Context(), like.Target(), like.Salt, mainline.GetOptions{})
	if err != nil {
		t.Fatalf("get: %v (%+v)", err, res)
	}
	return res
}

func TestItemComesBackBitForBitThroughAnotherNode(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 40)
	publisher, reader := startClient(t, network), startClient(t, network)
	for _, salt := range []string{"", "nostr"} {
		it := sign(t, "owner", salt, 7, `["wss://relay.example"]`)
		put := mustPut(t, publisher, it)
		if len(put.Holders) < 6 || put.Stored != len(put.Holders) || put.Superseded != nil || put.Equivocal {
			t.Errorf("salt %q: put gave %+v", salt, put)
		}
		got := mustGet(t, reader, it)
		if got.Item == nil || !got.Item.Equal(&it) {
			t.Fatalf("salt %q: got %+v, want %+v", salt, got.Item, it)
		}
		// Two lookups agree about most of the nodes nearest to a target, not about all: a table knows few nodes far from its own.
		if len(got.Holders) <= 4 {
			t.Errorf("salt %q: %d holders", salt, len(got.Holders))
		}
		// Those that hold it already are not sent it again.
		if again := mustPut(t, publisher, it); again.Puts >= 4 || len(again.Holders) < 6 {
			t.Errorf("salt %q: second put gave %+v", salt, again)
		}
	}
}

// In a small network those that a client begins with are among the nearest to any target.
func TestBootstrapNodesHoldItemsLikeOthers(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 8)
	put := mustPut(t, startClient(t, network), sign(t, "owner", "", 1, "a"))
	if len(put.Holders) != len(network.Nodes) {
		t.Errorf("%d of %d nodes hold it", len(put.Holders), len(network.Nodes))
	}
}

func TestHigherSeqOnTheNetworkIsNeverPutOver(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 24)
	node := startClient(t, network)
	older, newer := sign(t, "owner", "", 1, "a"), sign(t, "owner", "", 2, "b")
	mustPut(t, node, older)
	mustPut(t, node, newer)
	for _, put := range []func() (mainline.PutResult, error){
		func() (mainline.PutResult, error) { return node.Put(t.Context(), older, mainline.PutOptions{}) },
		func() (mainline.PutResult, error) { return node.Refresh(t.Context(), older, nil) },
	} {
		res, err := put()
		if err != nil || res.Superseded == nil || !res.Superseded.Equal(&newer) || res.Puts != 0 {
			t.Errorf("got %+v, %v", res, err)
		}
	}
	if got := mustGet(t, node, older); !got.Item.Equal(&newer) {
		t.Errorf("got %+v", got.Item)
	}
}

func TestTwoValuesWithOneSeqAreToldAndNotFoughtOver(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 24)
	node := startClient(t, network)
	first, second := sign(t, "owner", "", 1, "a"), sign(t, "owner", "", 1, "b")
	mustPut(t, node, first)
	res, err := node.Put(t.Context(), second, mainline.PutOptions{})
	if !res.Equivocal || res.Superseded != nil || res.Puts > 6 { // a lookup may meet a few nodes that the first missed
		t.Errorf("got %+v, %v", res, err)
	}
	if got := mustGet(t, node, first); !got.Item.Equal(&first) && !got.Equivocal {
		t.Errorf("the first value was replaced by %s", got.Item.Value)
	}
}

func TestRacingPuttersEndWithTheHigherSeq(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 24)
	a, b := startClient(t, network), startClient(t, network)
	for round := range 5 {
		older := sign(t, strconv.Itoa(round), "", 1, "a")
		newer := sign(t, strconv.Itoa(round), "", 2, "b")
		var both sync.WaitGroup
		both.Go(func() { mustPut(t, b, newer) })
		both.Go(func() {
			_, err := a.Put(t.Context(), older, mainline.PutOptions{})
			if err != nil && !errors.Is(err, mainline.ErrNotStored) {
				t.Error(err)
			}
		})
		both.Wait()
		if got := mustGet(t, a, newer); got.Item == nil || !got.Item.Equal(&newer) {
			t.Errorf("got %+v", got.Item)
		}
	}
}

func TestNetworkWithDeadNodesStillAnswers(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 40)
	node := startClient(t, network)
	it := sign(t, "owner", "", 1, "a")
	mustPut(t, node, it)
	for _, dead := range network.Nodes[len(network.Nodes)-12:] {
		if err := dead.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fresh := startClient(t, network) // knows nothing of who died
	if got := mustGet(t, fresh, it); got.Item == nil || !got.Item.Equal(&it) {
		t.Errorf("got %+v", got)
	}
	res, err := fresh.Refresh(t.Context(), it, nil)
	if err != nil || len(res.Holders)+res.Puts < 6 {
		t.Errorf("refresh among dead nodes: %+v, %v", res, err)
	}
}

// closeAll ends the nodes of a network that the contacts name.
func closeAll(t *testing.T, network *dhtnet.Network, contacts []mainline.Contact) {
	t.Helper()
	for _, c := range contacts {
		for _, n := range network.Nodes {
			if n.Addr() == c.Addr {
				if err := n.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestRefreshPutsOnlyWhereTheItemIsMissing(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 40)
	node := startClient(t, network)
	it := sign(t, "owner", "", 1, "a")
	put := mustPut(t, node, it)
	closeAll(t, network, put.Holders[:3])
	res, err := node.Refresh(t.Context(), it, put.Closest)
	if err != nil || res.Puts < 1 || res.Puts > 5 || len(res.Holders) < 4 || res.Stored != 0 {
		t.Errorf("first refresh: %+v, %v", res, err)
	}
	// Those that were put to count from now on, by what they say themselves.
	res, err = node.Refresh(t.Context(), it, res.Closest)
	if err != nil || res.Puts > 2 || len(res.Holders) < 6 {
		t.Errorf("second refresh: %+v, %v", res, err)
	}
}

func TestRenewPutsToHoldersAsWell(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 24)
	node := startClient(t, network)
	it := sign(t, "owner", "", 1, "a")
	first := mustPut(t, node, it)
	res, err := node.Put(t.Context(), it, mainline.PutOptions{Seeds: first.Closest, Renew: true})
	if err != nil || res.Puts < 6 || len(res.Holders) < 6 || res.Puts <= res.Stored { // a lookup may meet a few nodes that the first missed
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestRefreshReadsBackWhenFewHoldersAreLeft(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 40)
	node := startClient(t, network)
	it := sign(t, "owner", "", 1, "a")
	put := mustPut(t, node, it)
	closeAll(t, network, put.Holders[:len(put.Holders)-2])
	res, err := node.Refresh(t.Context(), it, put.Closest)
	if err != nil || res.Stored < 4 || len(res.Holders) <= res.Stored {
		t.Errorf("got %+v, %v", res, err)
	}
}

// All holders are replaced several times over, and the record lives on.
func TestRecordSurvivesChurn(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 60)
	node := startClient(t, network)
	it := sign(t, "owner", "", 1, "a")
	res := mustPut(t, node, it)
	gone := make(map[mainline.Contact]bool)
	var left []mainline.Contact // of the first holders, then of those that came after them, and so on
	for pass := range 4 {
		if len(left) == 0 {
			left = res.Holders
		}
		leaving := left[:min(4, len(left))]
		left = left[len(leaving):]
		closeAll(t, network, leaving)
		for _, c := range leaving {
			gone[c] = true
		}
		var err error
		if res, err = node.Refresh(t.Context(), it, res.Closest); err != nil {
			t.Fatalf("pass %d: %v", pass, err)
		}
		for _, c := range res.Holders {
			if gone[c] {
				t.Errorf("pass %d: %v has left and counts as a holder", pass, c)
			}
		}
	}
	// The nodes around the target still name those that are gone, so the
	// newcomer starts from the ones that are not. On a busy machine nodes that
	// live are late, too, and one look meets few of them.
	newcomer := startClient(t, network)
	for deadline := time.Now().Add(time.Minute); ; {
		got, err := newcomer.Get(t.Context(), it.Target(), nil, mainline.GetOptions{Seeds: res.Closest})
		if err == nil && got.Item != nil && got.Item.Equal(&it) && len(got.Holders) >= 4 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
}

func TestNotFoundIsNotNoAnswer(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 24)
	it := sign(t, "nobody", "", 1, "a")
	if got := mustGet(t, startClient(t, network), it); got.Item != nil || got.Answered == 0 || len(got.Closest) == 0 {
		t.Errorf("got %+v", got)
	}
	alone, err := mainline.Start(t.Context(), mainline.Config{Addr: "127.0.0.1:0", ReadOnly: true, AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	if _, err := alone.Get(t.Context(), it.Target(), nil, mainline.GetOptions{}); !errors.Is(err, mainline.ErrNoAnswer) {
		t.Errorf("get without a network: %v", err)
	}
	if _, err := alone.Put(t.Context(), it, mainline.PutOptions{}); !errors.Is(err, mainline.ErrNoAnswer) {
		t.Errorf("put without a network: %v", err)
	}
}

func TestEarlyAnswerIsCorrected(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 24)
	node := startClient(t, network)
	it := sign(t, "owner", "", 3, "a")
	mustPut(t, node, it)
	var seen []int64
	opts := mainline.GetOptions{Enough: 1, OnItem: func(it bep44.Item) { seen = append(seen, it.Seq) }}
	got, err := node.Get(t.Context(), it.Target(), nil, opts)
	if err != nil || got.Item == nil || len(seen) != 1 || seen[0] != 3 {
		t.Errorf("got %+v, %v, seen %v", got, err, seen)
	}
}

func TestCancelledGetReturnsAtOnce(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 8)
	node := startClient(t, network)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := node.Get(ctx, [20]byte{1}, nil, mainline.GetOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestUnverifiedItemIsNotPut(t *testing.T) {
	t.Parallel()
	network := startNetwork(t, 8)
	node := startClient(t, network)
	it := sign(t, "owner", "", 1, "a")
	it.Sig[0] ^= 1
	if _, err := node.Put(t.Context(), it, mainline.PutOptions{}); !errors.Is(err, bep44.ErrBadSignature) {
		t.Errorf("got %v", err)
	}
	if sent := node.Stats().Queries; sent != 0 {
		t.Errorf("%d queries were sent for it", sent)
	}
}

func TestNodesTellHowTheySeeUs(t *testing.T) {
	t.Parallel()
	client := startClient(t, startNetwork(t, 8))
	if _, err := client.Get(t.Context(), client.ID(), nil, mainline.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if seen := client.SeenAs(); len(seen) != 1 || seen[client.Addr()] == 0 {
		t.Errorf("seen as %v, listens on %s", seen, client.Addr())
	}
}
