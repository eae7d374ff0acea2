package mainline

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// peer is a hostile node: it answers every query with whatever answer returns.
type peer struct {
	*net.UDPConn
	contact Contact
}

// heard is a query that a peer received.
type heard struct {
	method string
	tid    []byte
	from   netip.AddrPort
}

func startPeer(t *testing.T, last byte, answer func(p *peer, q heard)) *peer {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{UDPConn: conn}
	copy(p.contact.ID[:], id20)
	p.contact.ID[19] = last
	p.contact.Addr = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if parsed, err := parsePacket(buf[:n]); err == nil && parsed.kind == 'q' {
				answer(p, heard{string(content(entry(buf[:n], "q"))), bytes.Clone(parsed.tid), from})
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return p
}

// reply sends a reply with these entries after id.
func (p *peer) reply(q heard, entries string) {
	p.send(q.from, fmt.Sprintf("d1:rd2:id20:%s%se1:t%d:%s1:y1:re", p.contact.ID[:], entries, len(q.tid), q.tid))
}

func (p *peer) send(to netip.AddrPort, packet string) {
	_, _ = p.WriteToUDPAddrPort([]byte(packet), to)
}

func startNode(t *testing.T, readOnly bool) *Node {
	t.Helper()
	n, err := Start(t.Context(), Config{
		Addr: "127.0.0.1:0", AllowPrivate: true, ReadOnly: readOnly, Rate: -1, PerAddress: -1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func signed(t *testing.T, seed byte, seq int64, text string) *bep44.Item {
	t.Helper()
	it := &bep44.Item{Seq: seq, Value: bep44.EncodeString([]byte(text))}
	if err := it.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))); err != nil {
		t.Fatal(err)
	}
	return it
}

// itemEntries are the entries of a reply that carries an item.
func itemEntries(it *bep44.Item) string {
	return fmt.Sprintf("1:k32:%s3:seqi%de3:sig64:%s5:token1:t1:v%s", it.Key[:], it.Seq, it.Sig[:], it.Value)
}

func TestNothingThatDoesNotVerifyIsReturned(t *testing.T) {
	t.Parallel()
	honestItem := signed(t, 1, 5, "real")
	forgedSeq, forgedValue := *honestItem, *honestItem
	forgedSeq.Seq = 9
	forgedValue.Value = bep44.EncodeString([]byte("fake"))
	foreign := signed(t, 2, 9, "foreign")
	for what, entries := range map[string]string{
		"raised seq":    itemEntries(&forgedSeq),
		"other value":   itemEntries(&forgedValue),
		"other key":     itemEntries(foreign),
		"negative seq":  itemEntries(&bep44.Item{Key: honestItem.Key, Seq: -1, Sig: honestItem.Sig, Value: honestItem.Value}),
		"without a key": "3:seqi9e5:token1:t1:v4:fake",
		"without seq":   fmt.Sprintf("1:k32:%s3:sig64:%s5:token1:t1:v%s", honestItem.Key[:], honestItem.Sig[:], honestItem.Value),
		"no item":       "5:token1:t",
		"only a seq":    "3:seqi9e5:token1:t",
	} {
		node := startNode(t, true)
		liar := startPeer(t, 1, func(p *peer, q heard) { p.reply(q, entries) })
		honest := startPeer(t, 2, func(p *peer, q heard) { p.reply(q, itemEntries(honestItem)) })
		got, err := node.Get(t.Context(), honestItem.Target(), nil, GetOptions{Seeds: []Contact{liar.contact, honest.contact}})
		if err != nil || got.Item == nil || !got.Item.Equal(honestItem) || len(got.Holders) != 1 {
			t.Errorf("%s: got %+v, %v", what, got, err)
		}
	}
}

func TestHigherSeqReplacesAnEarlierAnswer(t *testing.T) {
	t.Parallel()
	older, newer := signed(t, 1, 1, "old"), signed(t, 1, 2, "new")
	node := startNode(t, true)
	answers := make(chan heard, 1) // the newer item comes only after the older one was taken
	late := startPeer(t, 2, func(_ *peer, q heard) { answers <- q })
	early := startPeer(t, 1, func(p *peer, q heard) { p.reply(q, itemEntries(older)) })
	var seen []string
	opts := GetOptions{Seeds: []Contact{early.contact, late.contact}, OnItem: func(it bep44.Item) {
		seen = append(seen, string(it.Value))
		if it.Seq == 1 {
			late.reply(<-answers, itemEntries(newer))
		}
	}}
	got, err := node.Get(t.Context(), older.Target(), nil, opts)
	if err != nil || got.Item == nil || !got.Item.Equal(newer) || len(seen) != 2 {
		t.Errorf("got %+v, %v, seen %v", got, err, seen)
	}
	if len(got.Holders) != 1 || got.Holders[0] != late.contact {
		t.Errorf("holders are %v", got.Holders)
	}
}

func TestRepliesFromElsewhereOrWithAnotherIDAreIgnored(t *testing.T) {
	t.Parallel()
	it := signed(t, 1, 5, "x")
	node := startNode(t, true)
	other := startPeer(t, 1, func(*peer, heard) {})
	spoofed := startPeer(t, 1, func(p *peer, q heard) {
		other.reply(q, itemEntries(it)) // from another address
		for range 100 {
			binary.BigEndian.PutUint64(q.tid, rand.Uint64()) // with a guessed transaction id
			p.reply(q, itemEntries(it))
		}
	})
	_, err := node.Get(t.Context(), it.Target(), nil, GetOptions{Seeds: []Contact{spoofed.contact}})
	if !errors.Is(err, ErrNoAnswer) {
		t.Errorf("got %v", err)
	}
}

func TestAnAnswerFullOfNodesIsCutAndForbiddenOnesAreNotAsked(t *testing.T) {
	t.Parallel()
	node := startNode(t, true)
	var nodes []byte
	for i := range 100 {
		nodes = AppendCompact(nodes,
			[]Contact{{ID: [20]byte{1: byte(i)}, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, byte(i)}), 6881)}})
	}
	flood := startPeer(t, 1, func(p *peer, q heard) { p.reply(q, fmt.Sprintf("5:nodes%d:%s5:token1:t", len(nodes), nodes)) })
	got, err := node.Get(t.Context(), [20]byte{}, nil, GetOptions{Seeds: []Contact{flood.contact}})
	if err != nil || got.Queried != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	huge := startPeer(t, 1, func(p *peer, q heard) {
		p.reply(q, fmt.Sprintf("5:nodes%d:%s", 26*2400, bytes.Repeat(nodes[:26], 2400)))
	})
	node = startNode(t, true) // that does not know the other one
	if _, err := node.Get(t.Context(), [20]byte{}, nil, GetOptions{Seeds: []Contact{huge.contact}}); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("a packet of 62 kB was taken: %v", err)
	}
}

func TestAcknowledgementAloneIsNotStored(t *testing.T) {
	t.Parallel()
	it := signed(t, 1, 5, "x")
	node := startNode(t, true)
	liar := startPeer(t, 1, func(p *peer, q heard) { p.reply(q, "5:token1:t") }) // also to the put
	res, err := node.Put(t.Context(), *it, PutOptions{Seeds: []Contact{liar.contact}})
	if !errors.Is(err, ErrNotStored) || res.Puts != 1 || len(res.Holders) != 0 {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestNewerItemThatAppearsWhilePuttingIsReported(t *testing.T) {
	t.Parallel()
	older, newer := signed(t, 1, 1, "old"), signed(t, 1, 2, "new")
	node := startNode(t, true)
	put := false
	racer := startPeer(t, 1, func(p *peer, q heard) {
		if q.method == "put" {
			put = true
		}
		if put {
			p.reply(q, itemEntries(newer))
		} else {
			p.reply(q, "5:token1:t")
		}
	})
	res, err := node.Put(t.Context(), *older, PutOptions{Seeds: []Contact{racer.contact}})
	if err != nil || res.Superseded == nil || !res.Superseded.Equal(newer) || res.Stored != 0 {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestNodeThatGivesNoPublicAddressesTalksToNone(t *testing.T) {
	t.Parallel()
	n, err := Start(t.Context(), Config{Addr: "127.0.0.1:0", ReadOnly: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	queried := make(chan struct{}, 10)
	local := startPeer(t, 1, func(*peer, heard) { queried <- struct{}{} })
	_, err = n.Get(t.Context(), [20]byte{}, nil, GetOptions{Seeds: []Contact{local.contact}})
	if !errors.Is(err, ErrNoAnswer) || n.Introduce(t.Context(), local.contact.Addr) != 0 || n.Stats().Sent != 0 || len(queried) != 0 {
		t.Errorf("a private address was asked: %v, %+v", err, n.Stats())
	}
}

// A node that answers and stores must survive whatever one packet holds: as a query, and as the reply to its own. The
// default is quick; MAINLINE_HOSTILE_PACKETS=1000000 takes about a minute.
func TestNodeSurvivesHostilePackets(t *testing.T) {
	t.Parallel()
	packets := 10_000
	if s := os.Getenv("MAINLINE_HOSTILE_PACKETS"); s != "" {
		var err error
		if packets, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	node := startNode(t, false)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	attacker := startPeer(t, 1, func(p *peer, q heard) {
		b := randomPacket(rand.New(rand.NewPCG(rand.Uint64(), 4)))
		p.send(q.from, string(bytes.Replace(b, []byte("1:t2:aa"), fmt.Appendf(nil, "1:t%d:%s", len(q.tid), q.tid), 1)))
	})
	for _, b := range badPackets {
		attacker.send(node.Addr(), b)
	}
	probe := startNode(t, true)
	var looked int64
	for sent := range packets {
		attacker.send(node.Addr(), string(randomPacket(rng)))
		if sent%200 == 199 {
			// Awaiting an answer keeps the socket buffers from overflowing, and shows that the node lives.
			alive := false
			for range 10 { // a busy machine may need more than a second
				if alive = probe.Introduce(t.Context(), node.Addr()) == 1; alive {
					break
				}
			}
			if !alive {
				t.Fatalf("the node no longer answers after %d packets", sent)
			}
		}
		if sent%5000 == 4999 {
			_, _ = node.Get(t.Context(), [20]byte{byte(sent)}, nil, GetOptions{Seeds: []Contact{attacker.contact}})
			looked++
		}
	}
	s := node.Stats()
	if s.Received < int64(packets)*9/10 || s.Refused == 0 || s.Refused > s.Received*9/10 || s.Queries < looked {
		t.Errorf("the packets did not arrive as meant: %+v", s)
	}
	t.Logf("%d packets let through, %d refused", s.Received-s.Refused, s.Refused)
}
