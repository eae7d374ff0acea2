package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// meshOf makes a mesh of so many relays; of the i-th i events came.
func meshOf(n int, now int64) (*facts, Mesh) {
	f := newFacts()
	for i := range n {
		url := fmt.Sprintf("wss://relay-%04d.example.com", i)
		r := contract.Relay{URL: url, ProbedAt: now, ProbeFailures: min(1, i%5)}
		s := contract.Sync{URL: url, Stored: i, Live: now - int64(i)*60}
		f.apply(contract.BucketRelays, nostr.RelayKey(url), nostr.Encode(r), now)
		f.apply(contract.BucketSyncs, nostr.RelayKey(url), nostr.Encode(s), now)
	}
	return &f, f.mesh(now)
}

// With ten relays and with a thousand the picture shows those from which most came, apart from
// each other and within its bounds, and all others as one.
func TestTheMeshIsUsefulWithFewRelaysAndWithMany(t *testing.T) {
	now := time.Now().Unix()
	for _, n := range []int{1, 2, 10, mostNamed + 1, mostDrawn, mostDrawn + 1, 1000} {
		_, m := meshOf(n, now)
		if len(m.Nodes) != min(n, mostDrawn) || m.Rest != max(0, n-mostDrawn) || m.Nodes[0].Stored != n-1 {
			t.Errorf("of %d there are %d and %d more, first %+v", n, len(m.Nodes), m.Rest, m.Nodes[0])
		}
		sum, moving := m.RestStored, 0
		for _, d := range m.Nodes {
			if sum += d.Stored; d.Moving {
				moving++
			}
		}
		if sum != n*(n-1)/2 {
			t.Errorf("of %d relays came %d", n, sum)
		}
		if n <= mostDrawn && moving != min(n, 15) {
			t.Errorf("%d of %d are followed live", moving, n)
		}
		picture := m.Picture()
		if len(picture) != len(m.Nodes)+min(1, m.Rest) {
			t.Errorf("%d of %d are drawn", len(picture), n)
		}
		for i, a := range picture {
			if a.X-a.R < 0 || a.X+a.R > meshWidth || a.Y-a.R < 0 || a.Y+a.R > meshHeight || a.R < 5 || a.Line < 1 {
				t.Errorf("%d: %+v is outside", n, a)
			}
			if (a.Name != "") != (n <= mostNamed || a.Health == "rest") {
				t.Errorf("%d: the name is %q", n, a.Name)
			}
			for _, b := range append(picture[i+1:], Drawn{X: meshWidth / 2, Y: meshHeight / 2, R: 34}) {
				if x, y, r := a.X-b.X, a.Y-b.Y, a.R+b.R; x*x+y*y < r*r {
					t.Errorf("%d: %+v lies over %+v", n, a, b)
				}
			}
		}
	}
}

// Where a relay stands does not change with its figures.
func TestRelaysOfTheMeshStayWhereTheyAre(t *testing.T) {
	now := time.Now().Unix()
	f, before := meshOf(12, now)
	for i, key := range []string{nostr.RelayKey("wss://relay-0000.example.com"), nostr.RelayKey("wss://relay-0007.example.com")} {
		s := f.syncs[key]
		s.stored = 1000 * (i + 1)
		f.syncs[key] = s
	}
	after := f.mesh(now).Picture()
	for i, d := range before.Picture() {
		if d.URL != after[i].URL || d.X != after[i].X || d.Y != after[i].Y {
			t.Errorf("%s has moved", d.URL)
		}
	}
}

func TestThePageOfTheMesh(t *testing.T) {
	w := newWorld(t)
	if page := w.page("/mesh"); !strings.Contains(page, "No other relay is known yet") {
		t.Errorf("without relays the page is %s", page)
	}
	now := time.Now().Unix()
	w.known()
	evil := "wss://evil.example.com/" + hostile
	w.put(contract.BucketRelays, nostr.RelayKey(evil), contract.Relay{URL: evil, ProbedAt: now})
	w.put(contract.BucketSyncs, nostr.RelayKey(goodURL), contract.Sync{URL: goodURL, LastOK: now, Stored: 1234, Live: now})
	w.put(contract.BucketWorkers, "ingest.1", contract.Worker{
		Stages: []string{"ingest"}, At: now, Conditions: []contract.Condition{{Name: "tail of ws://127.0.0.1:7777", Wrong: "connection refused"}},
	})
	if err := w.console.counter.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.console.feed.readings = nil // or it is a second old
	page := w.page("/mesh")
	for _, want := range []string{
		`class="ok moves"`, `class="resting"`, "good.example.com: ok, 1\u2009234 events", "tail of ws://127.0.0.1:7777: connection refused",
		`class="home failing"`, "/relays?health=resting",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q: %s", want, page)
		}
	}
	for _, never := range []string{"<script>alert", "\u202e", "\x07"} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
	if m := ask[Mesh](w, "/mesh"); len(m.Nodes) != 3 || m.Nodes[0].URL != goodURL || !m.Nodes[0].Moving || m.Home == "" {
		t.Errorf("as JSON it is %+v", m)
	}
}
