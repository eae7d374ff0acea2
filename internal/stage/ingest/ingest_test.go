package ingest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// memory is a store that counts what it is asked.
type memory[T any] struct {
	stage.Store[T] // what the tests do not need
	values         map[string]T
	asked          int
}

func (m *memory[T]) Update(_ context.Context, key string, change func(T, bool) (T, bool)) (T, error) {
	m.asked++
	old, found := m.values[key]
	value, write := change(old, found)
	if !write {
		return old, nil
	}
	m.values[key] = value
	return value, nil
}

func (m *memory[T]) Each(_ context.Context, pattern string, f func(string, T) error) error {
	for key, value := range maps.Clone(m.values) {
		if match, _ := path.Match(pattern, key); !match {
			continue
		}
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory[T]) Remove(_ context.Context, key string, decide func(T) bool) (bool, error) {
	value, found := m.values[key]
	if found = found && decide(value); found {
		delete(m.values, key)
	}
	return found, nil
}

// bench is a stage whose events are signed by the word "signed".
type bench struct {
	*Stage
	t        *testing.T
	authors  *memory[contract.Author]
	verified int
	messages int
	now      int64
}

func newBench(t *testing.T, p Policy) *bench {
	b := &bench{t: t, authors: &memory[contract.Author]{values: map[string]contract.Author{}}, now: 1_700_000_000}
	b.Stage = New(Ports{
		Authors: b.authors, Policy: p, ResolveEvery: time.Hour,
		Missing: func(_ context.Context, refs []events.NoteMissing) ([]events.NoteMissing, error) { return refs, nil },
		Verify: func(_ []string, all []*nostr.Event) []error {
			errs := make([]error, len(all))
			for i, e := range all {
				if b.verified++; !strings.HasPrefix(e.Sig, "0") {
					errs[i] = errors.New("sig: forged")
				}
			}
			return errs
		},
		Now: func() time.Time { return time.Unix(b.now, 0) },
	})
	return b
}

// handle handles an event in a message of its own at the n-th attempt, and returns the
// subjects of what it leads to.
func (b *bench) handle(e nostr.Event, attempt int) (subjects []string, v contract.Verdict) {
	b.messages++
	return b.deliver(contract.Message{
		Subject: events.SubjectEventReceived, Data: nostr.Encode(e), Attempt: attempt, Cause: strconv.Itoa(b.messages),
	})
}

// deliver is handle of any message.
func (b *bench) deliver(m contract.Message) (subjects []string, v contract.Verdict) {
	out, v := b.Handle(b.t.Context(), m)
	for _, o := range out {
		subjects = append(subjects, o.Subject)
	}
	return subjects, v
}

func textNote(author, text string, tags ...nostr.Tag) nostr.Event {
	e := nostr.Event{
		PubKey: author, Kind: 1, CreatedAt: 1_600_000_000, Content: text, Sig: strings.Repeat("0", 128),
		Tags: append([]nostr.Tag{}, tags...),
	}
	e.ID = e.Hash()
	return e
}

// The server may deliver a message a second time before it hears that what came of the
// first is lost: the second one's acknowledgement ends the message.
func TestAMessageThatIsDeliveredTwiceIsHandledTwice(t *testing.T) {
	b := newBench(t, Policy{})
	b.Links = &memory[contract.Link]{values: map[string]contract.Link{}}
	list := textNote(alice, "", nostr.Tag{"r", "wss://relay.example.com"})
	list.Kind = nostr.KindRelayList
	list.ID = list.Hash()
	for subject, data := range map[string]any{
		events.SubjectEventReceived:           textNote(bob, "", nostr.Tag{"e", strings.Repeat("a1", 32), "wss://hint.example.com"}),
		events.SubjectEventReceived + ".list": list,
		events.SubjectAuthorSeen:              events.AuthorSeen{PubKey: strings.Repeat("c", 64)},
	} {
		m := contract.Message{Subject: strings.TrimSuffix(subject, ".list"), Data: nostr.Encode(data), Attempt: 1, Cause: "INTAKE " + subject}
		first, v := b.deliver(m)
		if !v.IsDone() || len(first) == 0 {
			t.Fatalf("%s: %v, %v", subject, first, v)
		}
		if out, v := b.deliver(m); !v.IsDone() || fmt.Sprint(out) != fmt.Sprint(first) {
			t.Errorf("%s, the second time: %v, %v, want %v", subject, out, v, first)
		}
		m.Cause += " 2"
		if out, v := b.deliver(m); !v.IsDone() || len(out) != 0 {
			t.Errorf("%s, another message: %v, %v", subject, out, v)
		}
	}
}

func TestADuplicateCostsNoVerification(t *testing.T) {
	b := newBench(t, Policy{})
	e := textNote(alice, "a")
	forged := e
	forged.Sig = strings.Repeat("1", 128)
	if _, v := b.handle(forged, 1); !v.IsReject() {
		t.Errorf("forged: %v", v)
	}
	first, v := b.handle(e, 1)
	if !v.IsDone() || len(first) != 1 {
		t.Fatalf("after a forged one of the same id: %v, %v", first, v)
	}
	for _, again := range []nostr.Event{e, forged} {
		if out, v := b.handle(again, 1); !v.IsDone() || len(out) != 0 || b.verified != 2 {
			t.Errorf("a duplicate: %v, %v, verified %d times", out, v, b.verified)
		}
	}
	// Its outputs may not have been stored.
	if out, v := b.handle(e, 2); !v.IsDone() || fmt.Sprint(out) != fmt.Sprint(first) {
		t.Errorf("second attempt: %v, %v, want %v again", out, v, first)
	}
}

// failing is a store that cannot be written.
type failing[T any] struct{ stage.Store[T] }

func (failing[T]) Update(context.Context, string, func(T, bool) (T, bool)) (value T, err error) {
	return value, errors.New("no answer")
}

func TestARecordThatIsKeptIsPutAlthoughItsLinksCannotBeWritten(t *testing.T) {
	b := newBench(t, Policy{})
	b.Records, b.Links = &memory[contract.Record]{values: map[string]contract.Record{}}, failing[contract.Link]{}
	item, _ := signed(t, 7, relayList(t, "wss://relay.example.com"))
	e := dhtList(item, item.SignedBuffer())
	e.CreatedAt, e.Sig = 1_600_000_000, strings.Repeat("0", 128)
	e.ID = e.Hash()
	out, v := b.handle(e, 1)
	if _, retry := v.RetryAfter(); !retry || !slices.Equal(out, []string{contract.RelayListSignedSubject(stage.TargetHex(item))}) {
		t.Errorf("%v and %v, want the record's message and a retry", v, out)
	}
}

func TestAKnownAuthorCostsNoKV(t *testing.T) {
	b := newBench(t, Policy{})
	seen := func(text string, attempt int, want bool) {
		t.Helper()
		out, _ := b.handle(textNote(alice, text), attempt)
		if got := len(out) == 1 && out[0] == contract.AuthorSeenSubject(alice); got != want || len(out) > 1 {
			t.Errorf("%s: %v, want author.seen %v", text, out, want)
		}
	}
	seen("first", 1, true)
	if seen("second", 1, false); b.authors.asked != 1 {
		t.Errorf("KV was asked %d times for two notes", b.authors.asked)
	}
	seen("third, on its second attempt", 2, true)
	b.now += 3601
	seen("a window later", 1, true)

	// Looked up meanwhile: nothing is due before the next time.
	b.authors.values[alice] = contract.Author{FirstSeen: 1, LastSeen: b.now, NextResolve: b.now + 5000}
	b.now += 3601
	seen("looked up", 1, false)
	b.now += 1500
	seen("due again", 1, true)
}

// A list that names the same relays as the one before leaves the links alone,
// unless another worker came in between.
func TestTheSameRelaysAgainCostNoLinks(t *testing.T) {
	b := newBench(t, Policy{})
	links := &memory[contract.Link]{values: map[string]contract.Link{}}
	b.Links = links
	list := func(at int64, want int, why string, urls ...string) nostr.Event {
		t.Helper()
		e := textNote(alice, why)
		e.Kind, e.CreatedAt = nostr.KindRelayList, 1_600_000_000+at
		for _, url := range urls {
			e.Tags = append(e.Tags, nostr.Tag{"r", url})
		}
		e.ID = e.Hash()
		asked := links.asked
		if _, v := b.handle(e, 1); !v.IsDone() {
			t.Fatalf("%s: %v", why, v.Reason())
		}
		if got := links.asked - asked; got != want {
			t.Errorf("%s: links were asked for %d times, want %d", why, got, want)
		}
		return e
	}
	const one, two = "wss://one.example", "wss://two.example"
	list(1, 1, "first", one)
	list(2, 0, "the same relays", one)
	list(1, 0, "an older one", one)
	list(3, 2, "another relay", one, two)
	a := b.authors.values[alice]
	a.Lists = map[string]contract.List{contract.ViaNIP65: {Version: 1_600_000_004, ID: id1, Write: []string{two}}}
	b.authors.values[alice] = a
	list(5, 2, "after another worker's", one, two)
}

// The first attempt made the links, and what it was to say was lost; before the second
// came a list of the same relays, which found nothing to do.
func TestARetrySaysWhatALaterListDidNot(t *testing.T) {
	b := newBench(t, Policy{})
	b.Links = &memory[contract.Link]{values: map[string]contract.Link{}}
	const url = "wss://one.example"
	list := func(at int64) nostr.Event {
		e := textNote(alice, "", nostr.Tag{"r", url})
		e.Kind, e.CreatedAt = nostr.KindRelayList, 1_600_000_000+at
		e.ID = e.Hash()
		return e
	}
	says := func(e nostr.Event, attempt int) bool {
		t.Helper()
		out, v := b.handle(e, attempt)
		if !v.IsDone() {
			t.Fatal(v.Reason())
		}
		return slices.Contains(out, contract.RelayDiscoveredSubject(nostr.RelayKey(url)))
	}
	if !says(list(1), 1) || says(list(2), 1) {
		t.Error("the first list is not told of, or one of the same relays is")
	}
	if !says(list(1), 2) {
		t.Error("nobody says that the relay was discovered")
	}
	if says(list(0), 1) {
		t.Error("an older list that was handled for the first time is told of")
	}
	a := b.authors.values[alice] // another worker has brought one, and has yet to say so
	a.Lists = map[string]contract.List{contract.ViaNIP65: {Version: 1_600_000_003, ID: id1, Write: []string{url}, Read: []string{url}}}
	b.authors.values[alice] = a
	if says(list(-1), 1) || !says(list(4), 1) {
		t.Error("an older list is told of, or the one after another worker's is not")
	}
}

// The first attempt kept the record and failed over the links; before the
// second, a newer record of the author was found on the DHT.
func TestARetryEndsWhatANewerRecordOvertook(t *testing.T) {
	b := newBench(t, Policy{})
	records := &memory[contract.Record]{values: map[string]contract.Record{}}
	links := &memory[contract.Link]{values: map[string]contract.Link{}}
	b.Records, b.Links = records, links
	value := relayList(t, "wss://one.example")
	item, _ := signed(t, 100, value)
	newer, record := signed(t, 200, value)
	target := newer.Target()
	records.values[contract.RecordKey(hex.EncodeToString(target[:]))] = record
	e := dhtList(item, item.SignedBuffer())
	e.Sig = strings.Repeat("0", 128)
	e.ID = e.Hash()
	if out, v := b.handle(e, 1); !v.IsReject() || len(out) != 0 || len(links.values) != 0 {
		t.Errorf("an older record: %v, %v, links %v", out, v, links.values)
	}
	out, v := b.handle(e, 2)
	if !v.IsReject() || !slices.Contains(out, contract.RelayDiscoveredSubject(nostr.RelayKey("wss://one.example"))) || len(links.values) != 1 {
		t.Errorf("an older record, which may have been kept before: %v, %v, links %v", out, v.Reason(), links.values)
	}
}

func TestCachedAuthorCoversEventsThatChangeNothing(t *testing.T) {
	const now = 1_000_000
	k := remember(contract.Author{DHTKey: dhtA, DHTKeyBy: alice, DHTKeyAt: 5, LastSeen: now, NextResolve: now + 60}, now, 3600)
	claim := func(key, by string, at int64) keyClaim { return keyClaim{key, source{by: by, at: at}} }
	for name, tc := range map[string]struct {
		claim keyClaim
		at    int64
		want  bool
	}{
		"no claim":                  {claim("", alice, 9), now, true},
		"the same":                  {claim(dhtA, alice, 5), now, true},
		"the same, said again":      {claim(dhtA, alice, 9), now, false},
		"a stranger's":              {claim(dhtB, bob, 9), now, true},
		"an older one":              {claim(dhtB, alice, 4), now, true},
		"a newer one":               {claim(dhtB, alice, 6), now, false},
		"no claim, but late":        {claim("", alice, 9), now + 60, false},
		"by a clock that was ahead": {claim("", alice, 9), now - 3*24*3600, false},
	} {
		if got := k.covers(alice, tc.claim, tc.at); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	if k := remember(contract.Author{LastSeen: now - 24*3600 + 5}, now, 3600); k.until != now+5 {
		t.Errorf("known until %d, but LastSeen is to be written from %d on", k.until, now+5)
	}
}

func TestOthersHaveNoEffect(t *testing.T) {
	b := newBench(t, Policy{Ours: func(pubkey string) bool { return pubkey == alice }})
	if out, v := b.handle(textNote(bob, "b", nostr.Tag{"e", id1}), 1); !v.IsDone() || len(out) != 0 || b.verified != 0 ||
		b.authors.asked != 0 {
		t.Errorf("bob: %v, %v", out, v)
	}
	// The key of a stranger replied to is used, but the stranger stays one.
	out, v := b.handle(textNote(alice, "a", nostr.Tag{"e", id1}, nostr.Tag{"p", bob}, nostr.Tag{"dht_key", dhtB}), 1)
	if want := []string{contract.AuthorSeenSubject(alice), contract.NoteMissingSubject(id1)}; !v.IsDone() ||
		fmt.Sprint(out) != fmt.Sprint(want) || len(b.authors.values) != 1 {
		t.Errorf("alice: %v, %v, want %v", out, v, want)
	}
}

func TestMissingKindsAndRateLimit(t *testing.T) {
	b := newBench(t, Policy{MissingKinds: []int{1}, MissingPerMinute: 3})
	refs := func(author string, kind, n int, text string) (missing int) {
		e := textNote(author, text)
		e.Kind = kind
		for i := range n {
			e.Tags = append(e.Tags, nostr.Tag{"e", fmt.Sprintf("%064x", i)})
		}
		e.ID = e.Hash()
		out, _ := b.handle(e, 1)
		for _, subject := range out {
			if strings.HasPrefix(subject, events.SubjectNoteMissing) {
				missing++
			}
		}
		return missing
	}
	for _, tc := range []struct {
		author    string
		kind, n   int
		wait      int64
		want      int
		text, why string
	}{
		{alice, 6, 2, 0, 0, "repost", "a kind that is left out"},
		{alice, 1, 2, 0, 2, "one", "within the rate limit"},
		{alice, 1, 2, 0, 1, "two", "what is left of it"},
		{alice, 1, 2, 0, 0, "three", "nothing is left"},
		{bob, 1, 2, 0, 2, "four", "of another author"},
		{alice, 1, 2, 60, 2, "five", "a minute later"},
	} {
		b.now += tc.wait
		if got := refs(tc.author, tc.kind, tc.n, tc.text); got != tc.want {
			t.Errorf("%s: %d notes are missing, want %d", tc.why, got, tc.want)
		}
	}
}

// What events name by the way is told once a day, again if it may be lost, and of one
// author no more in a minute than that.
func TestRelaysThatEventsNameAreToldOfOnceADay(t *testing.T) {
	b := newBench(t, Policy{})
	told := func(attempt int, e nostr.Event) (n int) {
		out, _ := b.handle(e, attempt)
		for _, subject := range out {
			if strings.HasPrefix(subject, "relay.discovered.") {
				n++
			}
		}
		return n
	}
	naming := func(text string, from, to int) nostr.Event {
		var tags []nostr.Tag
		for i := from; i < to; i++ {
			tags = append(tags, nostr.Tag{"p", bob, fmt.Sprintf("wss://%d.example", i)})
		}
		return textNote(alice, text, tags...)
	}
	first := naming("a", 0, 1)
	if n := told(1, first); n != 1 {
		t.Errorf("told of %d relays, want 1", n)
	}
	if n := told(2, first); n != 1 {
		t.Errorf("told of %d relays by the second attempt, want 1", n)
	}
	if n := told(1, naming("b", 0, 1)); n != 0 {
		t.Errorf("told of %d relays again", n)
	}
	if n := told(1, naming("c", 100, 120)) + told(1, naming("d", 200, 220)); n != namedPerMinute-2 {
		t.Errorf("told of %d relays of one author in a minute", n)
	}
	b.now += namedEvery
	if n := told(1, naming("e", 0, 1)); n != 1 {
		t.Errorf("told of %d relays a day later, want 1", n)
	}
}

type laterError struct{ error }

func (laterError) RetryAfter() time.Duration { return time.Hour }

func TestAnEventThatWasNotLookedAtComesAgain(t *testing.T) {
	b := newBench(t, Policy{})
	b.Verify = func([]string, []*nostr.Event) []error { return []error{laterError{errors.New("busy")}} }
	_, v := b.handle(textNote(alice, "a"), 1)
	if after, retry := v.RetryAfter(); !retry || after != time.Hour {
		t.Errorf("verdict %v after %v", v, after)
	}
}
