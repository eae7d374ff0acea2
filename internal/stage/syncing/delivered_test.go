package syncing

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/testkit/memkv"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	alice = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	bob   = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// What the local relay had already, refuses or does not answer to is no delivery.
func TestOnlyWhatWasMissingAndIsStoredCountsAsDelivered(t *testing.T) {
	for name, c := range map[string]struct {
		reply reconcile.Reply
		err   error
		want  int
	}{
		"stored":     {reconcile.Reply{Outcome: reconcile.Stored}, nil, 1},
		"had it":     {reconcile.Reply{Outcome: reconcile.Duplicate}, nil, 0},
		"refused":    {reconcile.ParseReply(false, "blocked: no"), nil, 0},
		"unanswered": {reconcile.Reply{Outcome: reconcile.Unanswered}, nil, 0},
		"failed":     {reconcile.Reply{Outcome: reconcile.Stored}, errors.New("cut"), 0},
	} {
		from := &authors{}
		local := delivered(reconcile.Through(func(_ context.Context, q *reconcile.Request, _ reconcile.Ask) error {
			q.Reply = c.reply
			return c.err
		}), from)
		_, _ = local.Publish(t.Context(), nostr.Event{PubKey: alice})
		if got := from.counts()[alice]; got != c.want {
			t.Errorf("%s: counts for %d", name, got)
		}
	}
}

func TestDeliveriesBecomeLinksWithinBounds(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	links := memkv.New[contract.Link]()
	s := &Stage{Links: links, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
	deliver := func(url string, n int) contract.Link {
		from := &authors{}
		for range n {
			from.add(alice)
		}
		if err := s.evidence(t.Context(), url, from, true); err != nil {
			t.Fatal(err)
		}
		l, _, _ := links.Get(t.Context(), contract.LinkKey(nostr.RelayKey(url), alice))
		return l
	}
	const first = "wss://0.example.com"
	if l := deliver(first, 5); l.URL != first || l.Delivered != 5 || l.Via[contract.ViaDelivered] != now.Unix() {
		t.Errorf("linked by %+v", l)
	}
	now = now.Add(time.Hour)
	if l := deliver(first, 5); l.Delivered != 5 {
		t.Errorf("written again after an hour: %+v", l)
	}
	now = now.Add(deliveredEvery)
	if l := deliver(first, 5); l.Delivered != 10 || l.Via[contract.ViaDelivered] != now.Unix() {
		t.Errorf("a day later: %+v", l)
	}
	for i := range 3 * maxSeen {
		deliver("wss://"+strconv.Itoa(i)+".example.com", 1)
	}
	if n := len(links.Of); n != maxSeen {
		t.Errorf("an author is linked to %d relays that only deliver, want %d", n, maxSeen)
	}
	stranger := &authors{}
	stranger.add(bob)
	if err := s.evidence(t.Context(), first, stranger, false); err != nil || len(links.Of) != maxSeen {
		t.Errorf("who was not asked for is linked: %d links, %v", len(links.Of), err)
	}
	named := "wss://named.example.com"
	links.Of[contract.LinkKey(nostr.RelayKey(named), alice)] = contract.Link{URL: named, Via: map[string]int64{contract.ViaNIP65: 7}}
	if l := deliver(named, 1); l.Delivered != 1 || l.Via[contract.ViaNIP65] != 7 {
		t.Errorf("at a relay that their list names: %+v", l)
	}
}

// Who was only seen at a relay is read there as if a list named it, and is given to
// it by no rule; what faded goes.
func TestAuthorsWhoWereSeenAreSyncedDownOnly(t *testing.T) {
	const url = "wss://a.example.com"
	now := time.Unix(1_700_000_000, 0)
	links := memkv.New[contract.Link]()
	key := nostr.RelayKey(url)
	links.Of[contract.LinkKey(key, alice)] = contract.Link{URL: url, Via: map[string]int64{contract.ViaNIP65: 7}}
	links.Of[contract.LinkKey(key, bob)] = contract.Link{URL: url, Via: map[string]int64{contract.ViaDelivered: now.Unix() - 9}, Delivered: 3}
	direction := reconcile.Down
	s := &Stage{
		Relays: memkv.New[contract.Relay](),
		Links:  links, Now: func() time.Time { return now },
		Rules: func(string) []Rule { return []Rule{{Direction: direction, Writers: true}} },
	}
	is := func() plan {
		t.Helper()
		p, err := s.plan(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := is(); len(p.jobs) != 1 || !slices.Equal(p.jobs[0].filter.Authors, []string{alice, bob}) || p.authors != 2 || p.weight <= 2 {
		t.Errorf("down: %+v", p)
	}
	for _, direction = range []reconcile.Direction{reconcile.Up, reconcile.Up | reconcile.Down} {
		for _, j := range is().jobs {
			if gives := j.direction&reconcile.Up != 0; gives == slices.Contains(j.filter.Authors, bob) {
				t.Errorf("direction %d: %+v", direction, j)
			}
		}
	}
	now = now.Add(contract.ForgetAfter)
	direction = reconcile.Down
	if p := is(); p.authors != 1 || len(links.Of) != 1 {
		t.Errorf("after 30 days %+v, links %v", p, links.Of)
	}
}
