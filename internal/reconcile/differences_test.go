package reconcile

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// differ returns what only the relay and only the set has.
func differ(t *testing.T, relay *fake, set []nostr.Event) (onlyRelay, onlySet []string, c Compared) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := Differences(ctx, relay.side("relay"), negentropy.NewVector(items(set)), nostr.Filter{}, func(a, b []negentropy.ID) error {
		for _, id := range a {
			onlyRelay = append(onlyRelay, id.String())
		}
		for _, id := range b {
			onlySet = append(onlySet, id.String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(onlyRelay)
	slices.Sort(onlySet)
	return onlyRelay, onlySet, c
}

// Each id is told once, whatever the relay makes of sessions.
func TestDifferencesAreToldOnce(t *testing.T) {
	all := notes(0, 1500)
	for name, change := range map[string]func(*fake){
		"NIP-77":                    func(*fake) {},
		"small frames":              func(f *fake) { f.frame = 4096 },
		"no NIP-77":                 func(f *fake) { f.no77 = true },
		"pages of 100":              func(f *fake) { f.no77, f.page = true, 100 },
		"no set above 300":          func(f *fake) { f.maxSet = 300 },
		"shows the newest 200 only": func(f *fake) { f.newest = 200 },
		"drops sessions":            func(f *fake) { n := 0; f.cut = func() bool { n++; return n%5 == 2 } },
	} {
		relay := newFake(all[100:]...)
		change(relay)
		onlyRelay, onlySet, c := differ(t, relay, all[:1400])
		if wantRelay, wantSet := newFake(all[1400:]...).ids(), newFake(all[:100]...).ids(); !slices.Equal(onlyRelay, wantRelay) ||
			!slices.Equal(onlySet, wantSet) || !c.Complete || c.Paged != relay.no77 {
			t.Errorf("%s: %d only at the relay, %d only in the set, %+v", name, len(onlyRelay), len(onlySet), c)
		}
	}
	if onlyRelay, onlySet, c := differ(t, newFake(), nil); len(onlyRelay)+len(onlySet) > 0 || !c.Complete {
		t.Errorf("nothing and nothing: %v, %v, %+v", onlyRelay, onlySet, c)
	}
}

// More than is told of at once is told part by part, without a page of the relay.
func TestManyDifferencesAreToldPartByPart(t *testing.T) {
	all := make([]negentropy.Item, 2*maxDiffer+10)
	for i := range all {
		all[i] = items([]nostr.Event{note(i, today-int64(i)*60)})[0]
	}
	set := negentropy.NewVector(slices.Clone(all))
	side := Side{Relay: setRelay{nothing, set, false}, Name: "relay"}
	calls, told := 0, map[negentropy.ID]bool{}
	c, err := Differences(t.Context(), side, negentropy.NewVector(nil), nostr.Filter{}, func(a, _ []negentropy.ID) error {
		if calls++; len(a) > maxDiffer {
			t.Errorf("%d at once", len(a))
		}
		for _, id := range a {
			told[id] = true
		}
		return nil
	})
	if err != nil || !c.Complete || c.Paged || len(told) != len(all) || calls < 3 {
		t.Errorf("%v, %+v: %d of %d in %d parts", err, c, len(told), len(all), calls)
	}
	stop := errors.New("enough")
	_, err = Differences(t.Context(), side, negentropy.NewVector(nil), nostr.Filter{}, func(_, _ []negentropy.ID) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("the error of tell is %v", err)
	}
}

// What is counted went over a wire: neither a set that is held here nor a relay that was read page by page sends
// messages. A relay that has few of the events of a large set is asked no more than it would be of a small one.
func TestOnlyTheWireIsCounted(t *testing.T) {
	all := notes(0, 30_000)
	for name, no77 := range map[string]bool{"NIP-77": false, "no NIP-77": true} {
		remote := newFake(all[:5]...)
		remote.no77 = no77
		wire := &wired{fake: remote}
		here := Side{Relay: OverSet(newFake(all...), negentropy.NewTree(items(all))), Name: "here"}
		r, err := Sync(t.Context(), here, Side{Relay: wire, Name: "there"}, nostr.Filter{}, options(Down))
		if err != nil {
			t.Fatal(err)
		}
		if r.Messages != wire.messages || r.NegBytes != int64(wire.bytes) || no77 != (wire.messages == 0) {
			t.Errorf("%s: %d messages of %d bytes are counted, want %d of %d", name, r.Messages, r.NegBytes, wire.messages, wire.bytes)
		}
		if wire.bytes > 5000 || r.OnlyA != len(all)-5 {
			t.Errorf("%s: %d bytes, and %d events only here", name, wire.bytes, r.OnlyA)
		}
	}
}

// Of a relay that is read page by page only what the set lacks is verified.
func TestWhatASetHoldsIsHeld(t *testing.T) {
	all := notes(0, 100)
	remote := newFake(all[50:]...)
	remote.no77 = true
	held := map[string]bool{}
	remote.query = func(ctx context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error] {
		return func(yield func(nostr.Event, error) bool) {
			for _, e := range remote.matching(filter) {
				if is := Held(ctx); is != nil && is(&e) {
					held[e.ID] = true
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
	here := Side{Relay: OverSet(newFake(all[:80]...), negentropy.NewTree(items(all[:80]))), Name: "here"}
	r, err := Sync(t.Context(), here, remote.side("there"), nostr.Filter{}, options(Down))
	if err != nil || r.ToA != 20 || len(held) != 30 {
		t.Errorf("%d of 50 events are held, want 30; %d came (%v)", len(held), r.ToA, err)
	}
}

// A relay that has what a set has is asked once, by one fingerprint where the set begins.
func TestARelayThatAgreesWithASetIsAskedOnce(t *testing.T) {
	all := notes(0, 3000)
	wire := &wired{fake: newFake(all...)}
	here := Side{Relay: OverSet(newFake(all...), negentropy.NewTree(items(all))), Name: "here"}
	for i, sides := range [][2]Side{{here, {Relay: wire, Name: "there"}}, {{Relay: wire, Name: "there"}, here}} {
		wire.messages, wire.bytes = 0, 0
		r, err := Sync(t.Context(), sides[0], sides[1], nostr.Filter{}, options(0))
		if err != nil || !r.Complete || wire.messages != 2 || i == 0 && wire.bytes > 2*100 {
			t.Errorf("it takes %d messages of %d bytes, want a question and an answer of few (%+v, %v)", wire.messages, wire.bytes, r, err)
		}
	}
}

// wired counts what passes a relay's sessions, in hex. It has one at a time.
type wired struct {
	*fake

	messages, bytes int
}

func (w *wired) Open(ctx context.Context, filter nostr.Filter, first []byte) (Session, []byte, error) {
	session, answer, err := w.fake.Open(ctx, filter, first)
	if err != nil {
		return nil, nil, err
	}
	w.count(first, answer)
	return wiredSession{session, w}, answer, nil
}

func (w *wired) count(msg, answer []byte) {
	w.messages += 2
	w.bytes += 2 * (len(msg) + len(answer))
}

type wiredSession struct {
	Session

	w *wired
}

func (s wiredSession) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	size := len(msg)
	answer, err := s.Session.Exchange(ctx, msg)
	s.w.count(msg[:size], answer)
	return answer, err
}
