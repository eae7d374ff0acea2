package run

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/stage/index"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// Nodes around every infohash that swallow announcements and name hundreds of addresses of nobody keep nobody from an index: it is
// announced to more nodes than these, and who looks for it asks others on the way.
func TestHidersAroundTheInfohashesHideNoIndex(t *testing.T) {
	t.Parallel()
	network := startMainline(t)
	hiders, err := dhtnet.Hide(index.Announced(time.Now()), 8, 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hiders.Close() })
	for i, node := range network.Nodes { // each knows some of them, as of all nodes
		some := slices.DeleteFunc(slices.Clone(hiders.Addrs()), func(at netip.AddrPort) bool { return int(at.Port())%3 != i%3 })
		if node.Introduce(t.Context(), some...) == 0 {
			t.Fatal("no hider answers")
		}
	}
	alice, list := newUser(t)
	startIndex(t, network, "127.0.0.2", hometest.Start(t, list))
	eventually(t, "a fresh process finds the list", func() bool {
		answer, err := ResolveOnce(
			t.Context(), indexConfig(t, network, "127.0.0.4"), events.ResolveRequest{PubKey: alice.PublicKey()}, slog.New(slog.DiscardHandler), nil)
		return err == nil && answer.Found && answer.Event.ID == list.ID
	})
}

// Where all of the DHT that a fresh machine meets is an attacker's, it says so, and finds no list instead of another one.
func TestAMainlineOfAnAttackerAlone(t *testing.T) {
	t.Parallel()
	hiders, err := dhtnet.Hide(index.Announced(time.Now()), 4, 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hiders.Close() })
	conf := indexConfig(t, &dhtnet.Network{}, "127.0.0.4")
	for _, at := range hiders.Addrs()[:4] {
		conf.DHT.Bootstrap = append(conf.DHT.Bootstrap, at.String())
	}
	alice, _ := newUser(t)
	answer, err := ResolveOnce(t.Context(), conf, events.ResolveRequest{PubKey: alice.PublicKey()}, slog.New(slog.DiscardHandler), nil)
	if said := answer.Why + errorText(err); answer.Found || !strings.Contains(said, "may all be of somebody who hides the true ones") {
		t.Errorf("got %+v, %v", answer, err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
