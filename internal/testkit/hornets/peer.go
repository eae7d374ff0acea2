package hornets

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	negentropy "github.com/illuzen/go-negentropy"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/relaymesh/relaymesh/internal/edge/p2p/node"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	protocolID = "/negentropy/1.0.0"
	sessionID  = "N"
	frameLimit = 4096
)

// Peer is the relay. Wrap, if set before it is used, is put around each stream.
type Peer struct {
	Wrap func(network.Stream) io.ReadWriter

	host   *basichost.BasicHost
	node   *node.Node
	served sync.WaitGroup

	mu     sync.Mutex
	events map[string]nostr.Event
	stored int // events that were sent to it
}

// Start has a peer listen on free ports of 127.0.0.1, by QUIC and by TCP. key
// is its identity.
func Start(key crypto.PrivKey) (*Peer, error) {
	n, err := node.New(key, nil)
	if err != nil {
		return nil, err
	}
	for _, at := range []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"} {
		addr, err := ma.NewMultiaddr(at)
		if err != nil {
			return nil, err
		}
		if err := n.Listen(addr); err != nil {
			return nil, err
		}
	}
	h, err := basichost.NewHost(n.Swarm, &basichost.HostOpts{})
	if err != nil {
		return nil, err
	}
	h.Start()
	p := &Peer{host: h, node: n, events: map[string]nostr.Event{}}
	h.SetStreamHandler(protocolID, func(s network.Stream) {
		p.served.Add(1)
		defer p.served.Done()
		defer s.Close()
		_ = p.respond(p.wrap(s)) // the original reports every end as success, too
	})
	return p, nil
}

// Close ends it.
func (p *Peer) Close() error {
	err := p.host.Close()
	p.served.Wait()
	if err == nil {
		err = p.node.Close()
	}
	return err
}

// Add gives it events.
func (p *Peer) Add(list ...nostr.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range list {
		p.events[e.ID] = e
	}
}

// IDs returns the ids of its events, sorted.
func (p *Peer) IDs() (ids []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range p.events {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Stored returns how many events it was sent by others.
func (p *Peer) Stored() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stored
}

// ID is its peer id in base58.
func (p *Peer) ID() string { return p.host.ID().String() }

// Addrs are its multiaddrs without the id.
func (p *Peer) Addrs() (out []string) {
	for _, addr := range p.node.ListenAddresses() {
		out = append(out, addr.String())
	}
	return out
}

// Addr is its multiaddr with the id, of one transport: "udp" or "tcp".
func (p *Peer) Addr(transport string) string {
	for _, addr := range p.Addrs() {
		if strings.Contains(addr, "/"+transport+"/") {
			return addr + "/p2p/" + p.ID()
		}
	}
	return ""
}

func (p *Peer) wrap(s network.Stream) io.ReadWriter {
	if p.Wrap != nil {
		return p.Wrap(s)
	}
	return s
}

// match returns what matches, as a query of the original does.
func (p *Peer) match(f nostr.Filter) (out []nostr.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		if f.Match(&e) {
			out = append(out, e)
		}
	}
	return out
}

// session seals what matches.
func (p *Peer) session(f nostr.Filter) (*negentropy.Negentropy, error) {
	v := negentropy.NewVector()
	for _, e := range p.match(f) {
		id, err := hex.DecodeString(e.ID)
		if err != nil {
			return nil, err
		}
		if err := v.Insert(uint64(e.CreatedAt), id); err != nil {
			return nil, err
		}
	}
	if err := v.Seal(); err != nil {
		return nil, err
	}
	return negentropy.NewNegentropy(v, frameLimit)
}

// line reads a message.
func line(in *bufio.Reader) (msg []string, err error) {
	text, err := in.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	return msg, json.Unmarshal(text, &msg)
}

func send(out io.Writer, elements ...string) error {
	text, err := json.Marshal(elements)
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return err
}

// store takes a list of events as it comes.
func (p *Peer) store(text string) error {
	var list []nostr.Event
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return err
	}
	p.Add(list...)
	p.mu.Lock()
	p.stored += len(list)
	p.mu.Unlock()
	return nil
}

// have makes the list of events with these ids.
func (p *Peer) have(ids []string) string {
	var list []nostr.Event
	if len(ids) > 0 {
		list = p.match(nostr.Filter{IDs: ids})
	}
	return string(nostr.Encode(list))
}

// respond answers a session.
func (p *Peer) respond(s io.ReadWriter) error {
	in := bufio.NewReader(s)
	var neg *negentropy.Negentropy
	for {
		msg, err := line(in)
		if err != nil {
			return err
		}
		switch msg[0] {
		case "NEG-OPEN":
			var filter nostr.Filter
			if err := json.Unmarshal([]byte(msg[2]), &filter); err != nil {
				return err
			}
			if neg, err = p.session(filter); err == nil {
				err = answer(s, neg, msg[4])
			}
		case "NEG-MSG":
			err = answer(s, neg, msg[2])
		case "NEG-HAVE":
			err = p.store(msg[2])
		case "NEG-NEED":
			var ids []string
			if err = json.Unmarshal([]byte(msg[2]), &ids); err == nil {
				err = send(s, "NEG-HAVE", sessionID, p.have(ids))
			}
		case "NEG-CLOSE":
			return nil
		default:
			err = fmt.Errorf("unknown message %q", msg[0])
		}
		if err != nil {
			return err
		}
	}
}

func answer(out io.Writer, neg *negentropy.Negentropy, text string) error {
	msg, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	reply, err := neg.Reconcile(msg)
	if err != nil {
		return send(out, "NEG-ERR", sessionID, err.Error())
	}
	return send(out, "NEG-MSG", sessionID, hex.EncodeToString(reply))
}

// Sync syncs with another peer, as the initiator: both ways, once.
func (p *Peer) Sync(ctx context.Context, at string, filter nostr.Filter) error {
	info, err := peer.AddrInfoFromString(at)
	if err != nil {
		return err
	}
	p.node.Backoff().Clear(info.ID)
	if err := p.host.Connect(ctx, *info); err != nil {
		return err
	}
	raw, err := p.host.NewStream(ctx, info.ID, protocolID)
	if err != nil {
		return err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { _ = raw.Reset() })()
	return p.initiate(p.wrap(raw), filter)
}

func (p *Peer) initiate(s io.ReadWriter, filter nostr.Filter) error {
	neg, err := p.session(filter)
	if err != nil {
		return err
	}
	first, err := neg.Initiate()
	if err != nil {
		return err
	}
	text, err := json.Marshal(filter)
	if err != nil {
		return err
	}
	if err := send(s, "NEG-OPEN", sessionID, string(text), "32", hex.EncodeToString(first)); err != nil {
		return err
	}
	in, last := bufio.NewReader(s), false
	for {
		msg, err := line(in)
		if err != nil {
			return err
		}
		switch msg[0] {
		case "NEG-MSG":
			var done bool
			if done, last, err = p.step(s, neg, msg[2]); err == nil && done {
				return send(s, "NEG-CLOSE", sessionID)
			}
		case "NEG-HAVE":
			if err = p.store(msg[2]); err == nil && last {
				return send(s, "NEG-CLOSE", sessionID)
			}
		case "NEG-ERR":
			err = fmt.Errorf("refused: %s", msg[2])
		default:
			err = fmt.Errorf("unknown message %q", msg[0])
		}
		if err != nil {
			return err
		}
	}
}

// step works on an answer: everything that the other lacks goes to it in one
// message, and everything that we lack is asked for in one.
func (p *Peer) step(s io.Writer, neg *negentropy.Negentropy, text string) (done, last bool, err error) {
	msg, err := hex.DecodeString(text)
	if err != nil {
		return false, false, err
	}
	var have, need []string
	next, err := neg.ReconcileWithIDs(msg, &have, &need)
	if err != nil {
		return false, false, err
	}
	if len(have) > 0 {
		if err := send(s, "NEG-HAVE", sessionID, p.have(inHex(have))); err != nil {
			return false, false, err
		}
	}
	if len(need) > 0 {
		ids, err := json.Marshal(inHex(need))
		if err != nil {
			return false, false, err
		}
		if err := send(s, "NEG-NEED", sessionID, string(ids)); err != nil {
			return false, false, err
		}
	}
	if next == nil {
		return len(need) == 0, true, nil
	}
	return false, false, send(s, "NEG-MSG", sessionID, hex.EncodeToString(next))
}

func inHex(raw []string) (out []string) {
	for _, id := range raw {
		out = append(out, hex.EncodeToString([]byte(id)))
	}
	return out
}
