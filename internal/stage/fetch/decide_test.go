package fetch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestCandidatesInTheOrderOfLikelySuccess(t *testing.T) {
	author := contract.Author{Lists: map[string]contract.List{
		contract.ViaDHT:   {Write: []string{"dht", "both"}},
		contract.ViaNIP65: {Write: []string{"both", "nip65"}, Read: []string{"inbox"}},
	}}
	n := events.NoteMissing{Relays: []string{"hint1", "hint2", "hint3"}}
	const now = 1_700_000_000
	link := func(url, via string, at int64) contract.Link {
		return contract.Link{URL: url, Via: map[string]int64{via: at}, Delivered: 9}
	}
	got := candidates(n, author, []contract.Link{
		link("z", contract.ViaHint, 0), link("hint1", contract.ViaHint, 0), link("local", contract.ViaHint, 0), link("a", contract.ViaClaim, 9),
		link("delivers", contract.ViaDelivered, now-3600), link("delivered once", contract.ViaDelivered, now-100*24*3600),
		link("dht", contract.ViaDelivered, now),
	}, "local", now)
	want := []string{"hint1", "hint2", "dht", "delivers", "both", "nip65", "hint3", "z", "a", "delivered once"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCandidatesAreBounded(t *testing.T) {
	var linked []contract.Link
	for i := range 1000 {
		linked = append(linked, contract.Link{URL: strconv.Itoa(i)})
	}
	if got := candidates(events.NoteMissing{}, contract.Author{}, linked, "", 1); len(got) != maxCandidates {
		t.Errorf("%d relays, want %d", len(got), maxCandidates)
	}
}

func TestRequestsAreHedged(t *testing.T) {
	start := time.Unix(1000, 0)
	at := start.Add
	turn := newHedger("lacks it")
	var urls []string
	for i := range 20 {
		urls = append(urls, strconv.Itoa(i))
	}
	turn.add(append([]string{"lacks it"}, urls...)...)
	if got := turn.next(start); !slices.Equal(got, urls[:asking]) {
		t.Fatalf("asked first %v", got)
	}
	if got := turn.next(at(hedge - 1)); got != nil || turn.idle(at(hedge-1)) {
		t.Errorf("while all slots are taken: asked %v", got)
	}
	turn.answered("3")
	if got := turn.next(at(hedge - 1)); !slices.Equal(got, urls[asking:asking+1]) {
		t.Errorf("after one answer: asked %v", got)
	}
	if wait := turn.wait(at(hedge - 1)); wait != 1 {
		t.Errorf("the first place is free after %s", wait)
	}
	if got := turn.next(at(hedge)); len(got) != asking-1 {
		t.Errorf("after a hedge: asked %d more, want %d", len(got), asking-1)
	}
	if n := len(turn.silent()); n != 2*asking-1 {
		t.Errorf("%d relays may still answer", n)
	}
	turn.next(at(2 * hedge))
	turn.next(at(3 * hedge))
	if turn.idle(at(3*hedge)) || !turn.idle(at(4*hedge)) || turn.wait(at(4*hedge)) != 0 {
		t.Error("idle is when nobody is queued or has a place")
	}
}

func TestRelaysOfASearchAreBounded(t *testing.T) {
	turn := newHedger()
	for i := range 1000 {
		turn.add("x"+strconv.Itoa(i), "x0")
	}
	if n := len(turn.queue); n != maxRelays {
		t.Errorf("%d relays, want %d", n, maxRelays)
	}
}

func TestALostNoteIsRememberedWithThoseWhoWereAsked(t *testing.T) {
	l := lose(contract.Lost{}, []string{"a", "b"}, "none", 100, time.Minute)
	if hinted, held := unasked(l, []string{"b", "c", "local"}, "local", 159); !held || !slices.Equal(hinted, []string{"c"}) {
		t.Errorf("within the minute: %v, %t", hinted, held)
	}
	if _, held := unasked(l, nil, "local", 160); held {
		t.Error("it is held to be lost after a minute")
	}
	if again := lose(l, []string{"c", "a"}, "none", 150, time.Minute); !slices.Equal(again.Relays, []string{"a", "b", "c"}) ||
		again.At != 100 || again.Until != 160 {
		t.Errorf("looked for at one more: %+v", again)
	}
	if later := lose(l, []string{"c"}, "none", 160, time.Minute); !slices.Equal(later.Relays, []string{"c"}) {
		t.Errorf("after the minute all may be asked again: %+v", later)
	}
	for i := range 1000 {
		l = lose(l, []string{strconv.Itoa(i)}, "none", 100, time.Minute)
	}
	if n := len(l.Relays); n != maxAsked {
		t.Errorf("%d relays are remembered, want %d", n, maxAsked)
	}
}

func TestAThreadFitsIntoAnAnswer(t *testing.T) {
	note := func(size int) events.MissingNoteResponse {
		return events.MissingNoteResponse{Found: true, Event: &nostr.Event{Content: strings.Repeat("x", size)}}
	}
	carried := 0
	for i, size := range []int{maxThreadBytes / 2, maxThreadBytes, 100} {
		var a events.MissingNoteResponse
		if a, carried = fit(note(size), carried); (a.Event == nil) != (i == 1) || (a.Why == "") != (i != 1) || carried > maxThreadBytes {
			t.Errorf("event %d: %d bytes carried, %q", i, carried, a.Why)
		}
	}
	why := events.MissingNoteResponse{Why: strings.Repeat("wss://é.example.com: no answer; ", 100)}
	if a, n := fit(why, carried); n != carried || len(a.Why) > maxThreadWhy+len("…") ||
		!strings.HasPrefix(why.Why, strings.TrimSuffix(a.Why, "…")) {
		t.Errorf("%d bytes carried, why %q", n, a.Why)
	}
}

func TestMentionedUsersAndTheirRelays(t *testing.T) {
	alice, bob := strings.Repeat("a", 64), strings.Repeat("b", 64)
	by := nostr.Event{PubKey: alice, Tags: []nostr.Tag{{"p", bob}, {"e", alice}, {"p"}, {"p", "x"}, {"p", bob}, {"p", alice}}}
	if got := mentioned(&by); !slices.Equal(got, []string{alice, bob}) {
		t.Errorf("got %v", got)
	}
	for i := range 100 {
		by.Tags = append(by.Tags, nostr.Tag{"p", fmt.Sprintf("%064x", i)})
	}
	if n := len(mentioned(&by)); n != maxMentioned {
		t.Errorf("%d users, want %d", n, maxMentioned)
	}
	lists := map[string]contract.List{
		contract.ViaNIP65: {Write: []string{"w"}, Read: []string{"1", "2", "3", "4"}},
		contract.ViaDHT:   {Write: []string{"d"}},
	}
	if got := inboxes(contract.Author{Lists: lists}); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("reads at %v", got)
	}
	delete(lists, contract.ViaNIP65)
	if got := inboxes(contract.Author{Lists: lists}); !slices.Equal(got, []string{"d"}) {
		t.Errorf("without a list of relays to read: %v", got)
	}
}

func TestTheNewestVersionStands(t *testing.T) {
	a, b := nostr.Event{ID: "a", CreatedAt: 1}, nostr.Event{ID: "b", CreatedAt: 1}
	late := nostr.Event{ID: "c", CreatedAt: 2}
	if !newer(&a, &b) || newer(&b, &a) || !newer(&late, &a) || newer(&a, &late) || newer(&a, &a) {
		t.Error("newest first, then lowest id")
	}
}
