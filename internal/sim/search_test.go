package sim_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage/fetch"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// ask asks the fetch stage like its service does.
func (w *world) ask(s *fetch.Stage, r events.MissingNoteRequest, deadline time.Duration) (events.MissingNoteResponse, time.Duration) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	begun := time.Now()
	response, err := s.Answer(ctx, r)
	if err != nil {
		w.Errorf("%+v: %v", r, err)
	}
	return response, time.Since(begun)
}

// at has a relay hold events and take a while to answer.
func (w *world) at(url string, takes time.Duration, list ...nostr.Event) string {
	w.relays.set(url, func(x *remote) { x.events, x.latency = append(x.events, list...), takes })
	return url
}

func byID(e nostr.Event, hints ...string) events.MissingNoteRequest {
	return events.MissingNoteRequest{NoteMissing: events.NoteMissing{EventID: e.ID, Relays: hints}}
}

func TestSilentRelaysLoseTheirSlotsAndMayStillAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.fetchStage(nil)
		var hints []string
		for i := range 14 { // more than are asked at a time, twice
			hints = append(hints, w.at(relayURL(i), time.Hour))
		}
		alice := user(w.T, "alice")
		e, late := note(w.T, alice, "behind many"), note(w.T, alice, "late")
		if r, took := w.ask(s, byID(e, append(hints, w.at(relayURL(20), 0, e))...), time.Minute); !r.Found || took != 300*time.Millisecond {
			w.Errorf("%+v after %s, want found after two hedges", r, took)
		}
		// Asked first, and slower than all others that do not have it.
		w.at(relayURL(21), 2*time.Second, late)
		if r, took := w.ask(s, byID(late, relayURL(21), relayURL(22), relayURL(23)), time.Minute); !r.Found || took != 2*time.Second {
			w.Errorf("%+v after %s, want found after two seconds", r, took)
		}
	})
}

func TestWhatIsAnsweredAfterTheDeadlineIsWrittenAllTheSame(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.fetchStage(nil)
		e := note(w.T, user(w.T, "alice"), "late")
		slow := w.at(relayURL(1), 8*time.Second, e)
		r, took := w.ask(s, byID(e, slow), time.Second)
		if r.Found || took != time.Second || !strings.Contains(r.Why, slow) {
			w.Errorf("%+v after %s", r, took)
		}
		time.Sleep(7*time.Second + time.Millisecond)
		if ids := w.relays.ids(home); !slices.Equal(ids, []string{e.ID}) {
			w.Errorf("the local relay has %v", ids)
		}
	})
}

func TestManyCallersShareOneSearch(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.fetchStage(nil)
		e := note(w.T, user(w.T, "alice"), "note")
		first, second := w.at(relayURL(1), time.Second), w.at(relayURL(2), time.Second, e)
		var wait sync.WaitGroup
		for i := range 10 {
			wait.Go(func() {
				// Only some know where it is: the others share that, too.
				hint := first
				if i%2 == 1 {
					hint = second
				}
				if r, _ := w.ask(s, byID(e, hint), time.Minute); !r.Found || r.RelayURL != second {
					w.Errorf("caller %d: %+v", i, r)
				}
			})
		}
		wait.Wait()
		for _, url := range []string{first, second, home} {
			if n := w.relays.seen(url).queries; n > 1 {
				w.Errorf("%s was asked %d times", url, n)
			}
		}
	})
}

func TestALostNoteIsNotLookedForAtEachReference(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fetcher(nil)
		e := note(w.T, user(w.T, "alice"), "hidden")
		empty, hiding := w.at(relayURL(1), 0), w.at(relayURL(2), 0, e)
		told := func(n events.NoteMissing) (lost, found int) {
			w.missing(n)
			time.Sleep(time.Minute)
			_, lost = w.told(events.SubjectNoteLost, n)
			_, found = w.told(events.SubjectNoteFound, n)
			return lost, found
		}
		n := events.NoteMissing{EventID: e.ID, Relays: []string{empty}}
		for i := range 3 {
			n.ReferencedBy = strings.Repeat(string(rune('a'+i)), 64)
			if lost, _ := told(n); lost != i+1 {
				w.Errorf("told %d times that it is lost, want %d", lost, i+1)
			}
		}
		if q := w.relays.seen(empty).queries; q != 1 {
			w.Errorf("asked %d times within the hour, want once", q)
		}
		// Who names another relay may know better.
		n.Relays = []string{empty, hiding}
		if _, found := told(n); found != 1 {
			w.Error("not found at the relay that was not asked")
		}
		if q := w.relays.seen(empty).queries; q != 1 {
			w.Errorf("asked %d times, though it has said that it does not have the note", q)
		}
		// After an hour it is looked for again.
		gone := events.NoteMissing{EventID: strings.Repeat("0", 64), Relays: []string{empty}}
		told(gone)
		before := w.relays.seen(empty).queries
		time.Sleep(lostFor)
		gone.ReferencedBy = strings.Repeat("d", 64)
		told(gone)
		if q := w.relays.seen(empty).queries; q != before+1 {
			w.Errorf("asked %d times after an hour, want once", q-before)
		}
		w.noDeadLetters()
	})
}

// A client that asks for a note may know less than the local relay does.
func TestTheServiceAsksTheLocalRelayToo(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.fetchStage(nil)
		e := note(w.T, user(w.T, "alice"), "came meanwhile")
		r, _ := w.ask(s, byID(e, relayURL(1)), time.Minute)
		if r.Found {
			w.Fatalf("%+v", r)
		}
		w.at(home, 0, e)
		if r, _ = w.ask(s, byID(e, relayURL(1)), time.Minute); !r.Found || r.RelayURL != home {
			w.Errorf("%+v", r)
		}
		if q := w.relays.seen(relayURL(1)).queries; q != 1 {
			w.Errorf("asked elsewhere %d times, want once", q)
		}
	})
}

func TestOfAReplaceableEventTheNewestIsTaken(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.fetchStage(nil)
		alice := user(w.T, "alice")
		version := func(at int64) nostr.Event {
			return sign(w.T, alice, nostr.Event{Kind: 30023, CreatedAt: at, Tags: []nostr.Tag{{"d", "x"}}})
		}
		first, second, third := version(100), version(200), version(300)
		r, took := w.ask(s, events.MissingNoteRequest{NoteMissing: events.NoteMissing{
			Address: "30023:" + alice.PublicKey() + ":x",
			Relays:  []string{w.at(relayURL(1), 0, first), w.at(relayURL(2), 100*time.Millisecond, second), w.at(relayURL(3), 5*time.Second, third)},
		}}, time.Minute)
		if r.Event == nil || r.Event.ID != second.ID || took != 150*time.Millisecond {
			w.Errorf("%+v after %s, want the newest of those that answer soon", r, took)
		}
		time.Sleep(5 * time.Second)
		if !slices.Contains(w.relays.ids(home), third.ID) || slices.Contains(w.relays.ids(home), first.ID) {
			w.Errorf("the local relay has %v, want the version that came late, too", w.relays.ids(home))
		}
	})
}

func TestANoteIsLookedForWhereThoseWhoAreMentionedRead(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.fetchStage(nil)
		alice, bob, carol := user(w.T, "alice"), user(w.T, "bob"), user(w.T, "carol")
		e := note(w.T, alice, "to bob")
		reply := note(w.T, carol, "reply", nostr.Tag{"e", e.ID}, nostr.Tag{"p", bob.PublicKey()})
		w.at(home, 0, reply)
		inbox := w.at(relayURL(1), 0, e)
		put(w, contract.BucketAuthors, bob.PublicKey(),
			contract.Author{Lists: map[string]contract.List{contract.ViaNIP65: {Read: []string{inbox}}}})
		n := byID(e)
		n.ReferencedBy = reply.ID
		if r, _ := w.ask(s, n, time.Minute); !r.Found || r.RelayURL != inbox {
			w.Errorf("%+v", r)
		}
	})
}

func TestThreads(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.fetchStage(nil)
		alice := user(w.T, "alice")
		far := relayURL(1)
		article := sign(w.T, alice, nostr.Event{Kind: 30023, Tags: []nostr.Tag{{"d", "x"}}})
		quoted := note(w.T, alice, "quoted")
		root := note(w.T, alice, "root", nostr.Tag{"a", "30023:" + alice.PublicKey() + ":x", far})
		list := []nostr.Event{root}
		for i := range 5 {
			parent := list[len(list)-1]
			list = append(list,
				note(w.T, alice, "reply "+string(rune('0'+i)), nostr.Tag{"e", root.ID, "", "root"}, nostr.Tag{"e", parent.ID, far, "reply"}))
		}
		asked := note(w.T, alice, "the note", nostr.Tag{"e", list[5].ID, far, "reply"}, nostr.Tag{"q", quoted.ID, far},
			nostr.Tag{"q", strings.Repeat("0", 64)})
		w.at(far, 0, append(list, article, quoted, asked)...)
		w.at(home, 0, quoted)

		request := byID(asked, far)
		if r, _ := w.ask(s, request, time.Minute); !r.Found || r.Thread != nil {
			w.Errorf("a thread that nobody asked for: %+v", r)
		}
		request.Thread = true
		r, _ := w.ask(s, request, time.Minute)
		want := []string{list[5].ID, quoted.ID, "", root.ID, list[4].ID, article.ID, list[3].ID, list[2].ID, list[1].ID}
		var got []string
		for _, a := range r.Thread {
			id := ""
			if a.Event != nil {
				id = a.Event.ID
			} else if a.Found || a.Why == "" {
				w.Errorf("not found: %+v", a)
			}
			got = append(got, id)
		}
		if !slices.Equal(got, want) {
			w.Errorf("thread %v\nwant %v", got, want)
		}
		for _, e := range append(list, article, asked) {
			if !slices.Contains(w.relays.ids(home), e.ID) {
				w.Errorf("%q is not at the local relay", e.Content)
			}
		}
		s.ThreadDepth = 2
		if r, _ := w.ask(s, request, time.Minute); len(r.Thread) != 5 {
			w.Errorf("%d events within two references, want 5", len(r.Thread))
		}
		s.ThreadCount = 4
		if r, _ := w.ask(s, request, time.Minute); len(r.Thread) != 4 {
			w.Errorf("%d events, want at most 4", len(r.Thread))
		}
	})
}

func TestAThreadFitsIntoItsAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.fetchStage(nil)
		alice := user(w.T, "alice")
		var tags []nostr.Tag
		for i := range 5 {
			e := note(w.T, alice, strings.Repeat(string(rune('a'+i)), 100<<10))
			w.at(home, 0, e)
			tags = append(tags, nostr.Tag{"q", e.ID})
		}
		asked := note(w.T, alice, "quotes much", tags...)
		w.at(home, 0, asked)
		request := byID(asked)
		request.Thread = true
		r, _ := w.ask(s, request, time.Minute)
		carried := 0
		for _, a := range r.Thread {
			if !a.Found || (a.Event == nil) != (a.Why != "") {
				w.Errorf("%s: found %t, carried %t: %s", a.EventID, a.Found, a.Event != nil, a.Why)
			}
			if a.Event != nil {
				carried++
			}
		}
		if carried != 3 || len(nostr.Encode(r)) > 1<<20 {
			w.Errorf("%d events are carried in %d bytes", carried, len(nostr.Encode(r)))
		}
	})
}

// unlisted makes an author with a DHT key and a profile at a relay that only the list under that key names.
func (w *world) unlisted(name string) (events.MissingNoteRequest, nostr.Event) {
	author := user(w.T, name)
	put(w, contract.BucketAuthors, author.PublicKey(), contract.Author{DHTKey: strings.Repeat("ab", 32), DHTKeyBy: author.PublicKey()})
	e := sign(w.T, author, nostr.Event{CreatedAt: 100, Content: "{}"})
	w.at(relayURL(1), 0, e)
	return events.MissingNoteRequest{NoteMissing: events.NoteMissing{Address: "0:" + author.PublicKey() + ":"}}, e
}

func TestLookUpsThatHangCostOneWait(t *testing.T) {
	const wait = 1500 * time.Millisecond
	inWorld(t, func(w *world) {
		s := w.fetchStage(nil)
		var takes atomic.Int64 // a time.Duration; a resolve that begins meanwhile reads it
		takes.Store(int64(time.Hour))
		var asked atomic.Int32
		s.Resolve = func(ctx context.Context, _ events.ResolveRequest) (events.ResolveResponse, error) {
			asked.Add(1)
			select {
			case <-time.After(time.Duration(takes.Load())):
				return events.ResolveResponse{Relays: []string{relayURL(1)}, Found: true}, nil
			case <-ctx.Done():
				return events.ResolveResponse{}, ctx.Err()
			}
		}
		costs := func(name string, most time.Duration, found bool) nostr.Event {
			w.Helper()
			request, e := w.unlisted(name)
			r, took := w.ask(s, request, wait)
			if took > most || r.Found != found || !found && !strings.Contains(r.Why, "DHT") && !strings.Contains(r.Why, "deadline") {
				w.Errorf("%s: %+v after %s, want %s at most", name, r, took, most)
			}
			return e
		}
		costs("first", wait, false)
		var callers sync.WaitGroup
		for _, name := range []string{"second", "third"} {
			callers.Go(func() { costs(name, 50*time.Millisecond, false) })
		}
		callers.Wait()
		time.Sleep(time.Minute)
		costs("when the requests have ended", 50*time.Millisecond, false)

		// What is answered late is at the local relay all the same, and from then on callers wait again.
		takes.Store(int64(5 * time.Second))
		late := costs("late", 50*time.Millisecond, false)
		time.Sleep(6 * time.Second)
		if !slices.Contains(w.relays.ids(home), late.ID) {
			w.Errorf("the local relay has %v", w.relays.ids(home))
		}
		takes.Store(int64(time.Second))
		costs("after an answer", wait, true)
		if n := asked.Load(); n != 6 {
			w.Errorf("asked %d times, want each time", n)
		}
	})
}

// Who waits for longer than a silence has lasted waits on.
func TestAPatientCallerWaitsForALookUpThatOthersGaveUp(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.fetchStage(nil)
		s.Resolve = func(context.Context, events.ResolveRequest) (events.ResolveResponse, error) {
			time.Sleep(4 * time.Second)
			return events.ResolveResponse{Relays: []string{relayURL(1)}, Found: true}, nil
		}
		request, _ := w.unlisted("alice")
		if r, took := w.ask(s, request, time.Second); r.Found || took != time.Second {
			w.Errorf("%+v after %s", r, took)
		}
		if r, _ := w.ask(s, request, 10*time.Second); !r.Found {
			w.Errorf("%+v", r)
		}
	})
}

func TestARelayThatIsNamedIsWaitedForWhileLookUpsHang(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.fetchStage(nil)
		s.Resolve = func(ctx context.Context, _ events.ResolveRequest) (events.ResolveResponse, error) {
			<-ctx.Done()
			return events.ResolveResponse{}, ctx.Err()
		}
		request, e := w.unlisted("alice")
		w.ask(s, request, time.Second)
		w.at(relayURL(2), 500*time.Millisecond, e)
		request.Relays = []string{relayURL(2)} // of the search that goes on
		if r, took := w.ask(s, request, time.Second); !r.Found || took < 500*time.Millisecond {
			w.Errorf("%+v after %s", r, took)
		}
	})
}
