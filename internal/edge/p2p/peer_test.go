package p2p

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/relaymesh/relaymesh/internal/testkit/hornets"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func startHornets(t *testing.T, list ...nostr.Event) *hornets.Peer {
	t.Helper()
	_, _, key := hornetsKey(t, parities["odd"])
	p, err := hornets.Start(key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	p.Add(list...)
	return p
}

func idsOf(list []nostr.Event) (ids []string) {
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

// A HORNETS relay as the responder, by both transports: compare, fetch, publish.
func TestPeerOfHornets(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			all := signed()
			hornets := startHornets(t, all[:200]...)
			p := newPeer(t, hornets.Addr(transport), timing{})

			var need []string
			ours := negentropy.NewReconciler(negentropy.NewVector(nil), negentropy.Options{
				FrameLimit: FrameLimit, Need: func(id negentropy.ID) { need = append(need, id.String()) },
			})
			session, answer, err := p.Open(t.Context(), nostr.Filter{Kinds: []int{1}}, ours.Initiate())
			for err == nil {
				msg, done, failed := ours.Reconcile(answer)
				if failed != nil {
					t.Fatal(failed)
				}
				if done {
					break
				}
				answer, err = session.Exchange(t.Context(), msg)
			}
			if err != nil {
				t.Fatal(err)
			}
			session.Close()
			slices.Sort(need)
			if need = slices.Compact(need); !slices.Equal(need, idsOf(all[:200])) {
				t.Fatalf("the comparison found %d events", len(need))
			}

			var got []nostr.Event
			for e, err := range p.Query(t.Context(), nostr.Filter{IDs: append(need, all[250].ID)}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e)
			}
			if !slices.Equal(idsOf(got), need) {
				t.Errorf("fetched %d events", len(got))
			}

			var writing sync.WaitGroup
			for _, e := range all[200:] {
				writing.Go(func() {
					if reply, err := p.Publish(t.Context(), e); !reply.Kept() || err != nil {
						t.Errorf("%v, %v", reply, err)
					}
				})
			}
			writing.Wait()
			if !slices.Equal(hornets.IDs(), idsOf(all)) {
				t.Errorf("it holds %d events", len(hornets.IDs()))
			}
		})
	}
}

// A HORNETS relay as the initiator, by both transports.
func TestHornetsSyncsWithUs(t *testing.T) {
	for _, transport := range []string{"/udp/", "/tcp/"} {
		t.Run(transport[1:4], func(t *testing.T) {
			all := signed()
			hornets := startHornets(t, all[:220]...)
			ours := newMemoryRelay(all[100:]...)
			addrs := serveMemoryRelay(t, ours, timing{}).Addrs()
			at := addrs[slices.IndexFunc(addrs, func(a string) bool { return strings.Contains(a, transport) })]
			if err := hornets.Sync(t.Context(), at, nostr.Filter{Kinds: []int{1}}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(hornets.IDs(), idsOf(all)) || !slices.Equal(ours.ids(), idsOf(all)) {
				t.Errorf("it holds %d events, we %d", len(hornets.IDs()), len(ours.ids()))
			}
		})
	}
}

// A peer is hung up on when nothing goes on with it any more, and not before,
// whatever it opens itself if it is not served.
func TestHangUp(t *testing.T) {
	theirs := make(chan network.Conn, 1)
	server := serveMemoryRelay(t, newMemoryRelay(), timing{})
	server.node.Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) { theirs <- c }})
	p := newPeer(t, server.Addrs()[0], timing{})
	set := negentropy.NewReconciler(negentropy.NewVector(nil), negentropy.Options{})
	session, _, err := p.Open(t.Context(), nostr.Filter{}, set.Initiate())
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := (<-theirs).NewStream(t.Context()); err != nil {
		t.Fatal(err)
	} else if _, err := opened.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	other := p.host.Peer(p.addr)
	other.Close()
	if _, err := session.Exchange(t.Context(), set.Initiate()); err != nil {
		t.Errorf("a session was ended by another use of its peer: %v", err)
	}
	session.Close()
	other.Close()
	if n := len(p.host.node.Conns()); n > 0 {
		t.Errorf("%d connections are left", n)
	}
}
