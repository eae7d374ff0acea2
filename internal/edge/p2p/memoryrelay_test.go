package p2p

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"
	"go.uber.org/goleak"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signed are notes of one author; signed once for all tests.
var signed = sync.OnceValue(func() []nostr.Event {
	key, err := schnorr.NewSecret()
	if err != nil {
		panic(err)
	}
	out := make([]nostr.Event, 300)
	for i := range out {
		out[i] = nostr.Event{Kind: 1, CreatedAt: 1_700_000_000 + int64(i/3), Content: "<note>\u2028 \"&\""}
		out[i].Tags = []nostr.Tag{{"n", string(rune('a' + i))}}
		if err := key.SignEvent(&out[i]); err != nil {
			panic(err)
		}
	}
	return out
})

// memoryRelay is a relay in memory.
type memoryRelay struct {
	mu     sync.Mutex
	poison map[string]error // by id: how the relay fails at a write
	have   map[string]nostr.Event
}

// failAt has writes of an event fail, or not any more. Sessions of before may still run.
func (s *memoryRelay) failAt(id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poison = map[string]error{id: err}
}

func (s *memoryRelay) ids() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.have {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// memorySession answers for a memory relay.
type memorySession struct {
	*memoryRelay
	neg *negentropy.Reconciler
}

func (s *memorySession) Open(f nostr.Filter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var items []negentropy.Item
	for _, e := range s.have {
		if id, err := negentropy.ParseID(e.ID); err == nil && f.Match(&e) {
			items = append(items, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
		}
	}
	s.neg = negentropy.NewReconciler(negentropy.NewVector(items), negentropy.Options{})
}

func (s *memorySession) Answer(_ context.Context, msg []byte) ([]byte, error) {
	return s.neg.Respond(msg)
}

func (s *memorySession) Read(_ context.Context, ids []negentropy.ID, add func(nostr.Event) error) error {
	for _, id := range ids {
		s.mu.Lock()
		e, ok := s.have[id.String()]
		s.mu.Unlock()
		if ok {
			if err := add(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *memorySession) Write(_ context.Context, batch []nostr.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range batch {
		if err := s.poison[e.ID]; err != nil {
			return err
		}
		s.have[e.ID] = e
	}
	return nil
}

func (s *memorySession) Close() {}

// serveMemoryRelay starts a host that serves a memory relay on loopback.
func serveMemoryRelay(t *testing.T, s *memoryRelay, limits timing) *Host {
	t.Helper()
	h, err := Start(Options{
		AllowPrivate: true, timing: limits,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	answer := func(context.Context, string) (Responder, error) { return &memorySession{memoryRelay: s}, nil }
	if err := h.Serve("127.0.0.1:0", answer); err != nil {
		t.Fatal(err)
	}
	return h
}

func newMemoryRelay(list ...nostr.Event) *memoryRelay {
	s := &memoryRelay{have: map[string]nostr.Event{}}
	for _, e := range list {
		s.have[e.ID] = e
	}
	return s
}

// newPeer is a client of a host, with a host of its own.
func newPeer(t *testing.T, addr string, limits timing) *Peer {
	t.Helper()
	h, err := Start(Options{AllowPrivate: true, timing: limits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	at, err := ParseAddress(addr)
	if err != nil {
		t.Fatal(err)
	}
	p := h.Peer(at)
	t.Cleanup(p.Close)
	return p
}

// raw opens a stream to an address and sends whatever it likes.
func raw(t *testing.T, p *Peer) *stream {
	t.Helper()
	s, err := p.host.open(t.Context(), p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.reset)
	return s
}

// refusal reads until the peer ends a stream, and returns its NEG-ERR.
func refusal(t *testing.T, s *stream) string {
	t.Helper()
	for {
		kind, err := s.next()
		if err != nil {
			return err.Error()
		}
		text, err := s.in.text(maxHex)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.in.end(); err != nil {
			t.Fatal(err)
		}
		if kind == kindErr {
			return text
		}
	}
}

// serveRaw starts a host that answers every stream by a function.
func serveRaw(t *testing.T, answer func(*stream)) *Host {
	t.Helper()
	h, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Serve("127.0.0.1:0", nil); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		h.Close()
		running.Wait()
	})
	h.node.SetStreamHandler(func(s network.Stream) {
		running.Add(1)
		defer running.Done()
		defer s.Reset()
		mux := multistream.NewMultistreamMuxer[protocol.ID]()
		mux.AddHandler(Protocol, nil)
		if _, _, err := mux.Negotiate(s); err == nil {
			answer(newStream(s, defaultTiming))
			io.Copy(io.Discard, s)
		}
	})
	return h
}
