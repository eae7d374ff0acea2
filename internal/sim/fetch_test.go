package sim_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// missing asks for a note, as ingest would.
func (w *world) missing(n events.NoteMissing) {
	w.Helper()
	w.Publish(contract.NoteMissingSubject(n.Key()), nostr.Encode(n))
}

// told returns the last outcome of a note.
func (w *world) told(subject string, n events.NoteMissing) (last *events.MissingNoteResponse, count int) {
	w.Helper()
	for _, r := range outcomes[events.MissingNoteResponse](w, subject) {
		if r.EventID == n.EventID && r.Address == n.Address {
			last = &r
			count++
		}
	}
	return last, count
}

// Whoever refers to a note may say under which DHT key its author is; the author
// knows better.
func TestTheAuthorsOwnDHTKeyComesBeforeWhatOthersSay(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fetcher(nil)
		stored, said := strings.Repeat("11", 32), strings.Repeat("22", 32)
		for name, by := range map[string]string{
			"the author's": user(w.T, "the author's").PublicKey(), "a stranger's": user(w.T, "mallory").PublicKey(),
		} {
			author := user(w.T, name)
			put(w, contract.BucketAuthors, author.PublicKey(), contract.Author{
				DHTKey: stored, DHTKeyBy: by,
				// As earlier versions took it from whatever the key led to.
				Lists: map[string]contract.List{contract.ViaDHT: {Version: 1, ID: strings.Repeat("3", 128), Write: []string{strangersRelay}}},
			})
			before := [2]int{w.dht.getsOf(stored), w.dht.getsOf(said)}
			e := note(w.T, author, "nowhere")
			w.missing(events.NoteMissing{EventID: e.ID, AuthorPubkey: author.PublicKey(), DHTKey: said})
			time.Sleep(time.Minute)
			own := w.dht.getsOf(stored) > before[0]
			if others := w.dht.getsOf(said) > before[1]; own != (by == author.PublicKey()) || others == own {
				w.Errorf("%s word: looked up under the stored key %t, under what the reference says %t", name, own, others)
			}
			if n := w.relays.seen(strangersRelay).asked[e.ID]; n > 0 {
				w.Errorf("%s word: a relay was asked for a list that nobody knows to be the author's", name)
			}
		}
	})
}

func TestANoteIsLookedForWhereItIsLikeliestAndWrittenToTheLocalRelay(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fetcher(nil)
		alice := user(w.T, "alice")
		hint, written, onDHT := relayURL(1), relayURL(2), relayURL(3)
		l := list(w.T, alice, 100, onDHT)
		w.dht.set(func(n *network) { n.items[stage.TargetHex(l.Item)] = l.Item })
		put(w, contract.BucketAuthors, alice.PublicKey(), contract.Author{
			DHTKey: hexOf(l.Item.Key[:]), Lists: map[string]contract.List{contract.ViaNIP65: {Version: 1, Write: []string{written}}},
		})
		atHint, atList, atDHT := note(w.T, alice, "at the hint"), note(w.T, alice, "where they write"), note(w.T, alice, "known to the DHT")
		w.relays.set(hint, func(x *remote) { x.events = append(x.events, atHint) })
		w.relays.set(written, func(x *remote) { x.events = append(x.events, atList) })
		w.relays.set(onDHT, func(x *remote) { x.events = append(x.events, atDHT) })
		article := sign(w.T, alice, nostr.Event{Kind: 30023, Tags: []nostr.Tag{{"d", "x"}}})
		w.relays.set(written, func(x *remote) { x.events = append(x.events, article) })

		for _, c := range []struct {
			e    nostr.Event
			url  string
			gets int // of the DHT, up to then
		}{{atHint, hint, 0}, {atList, written, 0}, {atDHT, onDHT, 1}} {
			n := events.NoteMissing{EventID: c.e.ID, AuthorPubkey: alice.PublicKey(), Relays: []string{hint}}
			w.missing(n)
			time.Sleep(time.Minute)
			r, count := w.told(events.SubjectNoteFound, n)
			if count != 1 || !r.Found || r.RelayURL != c.url || r.Event == nil || r.Event.Sig != c.e.Sig {
				w.Errorf("%s: told %d times %+v, want found at %s", c.e.Content, count, r, c.url)
			}
			if n := w.dht.getsOf(hexOf(l.Item.Key[:])); n != c.gets {
				w.Errorf("%s: the DHT was asked %d times, want %d", c.e.Content, n, c.gets)
			}
			if !slices.Contains(w.relays.ids(home), c.e.ID) {
				w.Errorf("%s: is not at the local relay", c.e.Content)
			}
		}
		n := events.NoteMissing{Address: "30023:" + alice.PublicKey() + ":x"}
		w.missing(n)
		time.Sleep(time.Minute)
		if r, _ := w.told(events.SubjectNoteFound, n); r == nil || r.Event == nil || r.Event.ID != article.ID {
			w.Errorf("by address: %+v", r)
		}
		// What was found is handed to ingest: it may refer to more.
		if n := w.Stored(contract.StreamIntake); n != 4 {
			w.Errorf("%d events are handed to ingest, want 4", n)
		}
		w.noDeadLetters()
	})
}

func TestANoteIsLostOnlyAfterAllHaveAnsweredOrWereTriedOften(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fetcher(nil)
		alice := user(w.T, "alice")
		up, down, late := relayURL(1), relayURL(2), relayURL(3)
		w.relays.set(down, func(x *remote) { x.down = true })
		w.relays.set(late, func(x *remote) { x.down = true })

		nowhere := events.NoteMissing{EventID: strings.Repeat("0", 64), Relays: []string{up}}
		w.missing(nowhere)
		time.Sleep(5 * time.Second)
		if r, count := w.told(events.SubjectNoteLost, nowhere); count != 1 || r.Found || r.Why == "" {
			w.Errorf("all have answered: told %d times %+v", count, r)
		}

		silent := events.NoteMissing{EventID: strings.Repeat("1", 64), Relays: []string{up, down}}
		w.missing(silent)
		time.Sleep(30 * time.Second)
		if _, count := w.told(events.SubjectNoteLost, silent); count != 0 {
			w.Errorf("lost after half a minute, though a relay gave no answer")
		}
		time.Sleep(10 * time.Minute)
		if r, count := w.told(events.SubjectNoteLost, silent); count != 1 || !strings.Contains(r.Why, down) {
			w.Errorf("told %d times %+v, want once and who gave no answer", count, r)
		}
		if n := w.relays.seen(down).queries; n != 4 {
			w.Errorf("a relay that gives no answer was asked %d times, want 4", n)
		}

		e := note(w.T, alice, "at a relay that comes back")
		w.relays.set(late, func(x *remote) { x.events = append(x.events, e) })
		back := events.NoteMissing{EventID: e.ID, Relays: []string{late}}
		w.missing(back)
		time.Sleep(20 * time.Second)
		w.relays.set(late, func(x *remote) { x.down = false })
		time.Sleep(2 * time.Minute)
		if _, count := w.told(events.SubjectNoteFound, back); count != 1 {
			w.Errorf("a relay that came back: told %d times", count)
		}

		// What is found is not lost because the local relay is down for hours,
		// or cannot store anything.
		for content, trouble := range map[string]func(*remote){
			"while the local relay is down": func(x *remote) { x.down = true },
			"while the disk of the local relay is full": func(x *remote) {
				x.refuse = func(nostr.Event) string { return "error: store: no space left on device" }
			},
		} {
			e = note(w.T, alice, content)
			w.relays.set(up, func(x *remote) { x.events = append(x.events, e) })
			w.relays.set(home, trouble)
			w.missing(events.NoteMissing{EventID: e.ID, Relays: []string{up}})
			told := w.ever(contract.StreamOutcome)
			time.Sleep(3 * time.Hour)
			if n := w.ever(contract.StreamOutcome); n != told {
				w.Errorf("told what became of a note %s, which could not be written", content)
			}
			w.relays.set(home, func(x *remote) { x.down, x.refuse = false, nil })
			time.Sleep(75 * time.Minute)
			if !slices.Contains(w.relays.ids(home), e.ID) {
				w.Errorf("a note %s was found, and never written", content)
			}
		}
		w.noDeadLetters()
	})
}

func TestWhatMustNotBeCopiedIsNotAndSaysWhy(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fetcher(nil)
		alice := user(w.T, "alice")
		deleted := note(w.T, alice, "deleted by its author, and named by a stranger")
		w.relays.set(home, func(x *remote) {
			x.events = append(x.events, sign(w.T, alice, nostr.Event{Kind: 5, Tags: []nostr.Tag{{"e", deleted.ID}}}))
		})
		protected, refused, unsaid := note(w.T, alice, "protected", nostr.Tag{"-"}), note(w.T, alice, "refused"),
			note(w.T, alice, "refused without a word")
		w.relays.set(relayURL(1), func(x *remote) { x.events = append(x.events, deleted, protected, refused, unsaid) })
		w.relays.set(home, func(x *remote) {
			x.refuse = func(e nostr.Event) string {
				switch e.ID {
				case deleted.ID:
					return ""
				case unsaid.ID:
					return wordless
				}
				return "blocked: no"
			}
		})
		for _, c := range []struct {
			e   nostr.Event
			why string
		}{{deleted, "NIP-09"}, {protected, "NIP-70"}, {refused, "blocked: no"}, {unsaid, "without a reason"}} {
			n := events.NoteMissing{EventID: c.e.ID, Relays: []string{relayURL(1)}}
			w.missing(n)
			time.Sleep(time.Minute)
			if r, count := w.told(events.SubjectNoteLost, n); count != 1 || !strings.Contains(r.Why, c.why) {
				w.Errorf("%s: told %d times %+v", c.e.Content, count, r)
			}
		}
		if ids := w.relays.ids(home); len(ids) != 1 { // the deletion
			w.Errorf("copied %v", ids)
		}
		// Only ingest may ask; a message that does not belong to its subject
		// is a dead letter.
		w.Publish(contract.NoteMissingSubject(strings.Repeat("2", 64)), nostr.Encode(events.NoteMissing{EventID: strings.Repeat("3", 64)}))
		time.Sleep(time.Minute)
		w.Publish(contract.NoteMissingSubject("x"), []byte("no JSON"))
		time.Sleep(time.Minute)
		letters := w.DeadLetters()
		if len(letters) != 2 || !hasPrefix(letters[0].Reason, "event_id: ") || letters[0].Stage != contract.StageFetcher {
			w.Errorf("dead letters %+v", letters)
		}
	})
}

// The first worker dies over the message after it has told; the second gets
// it again.
func TestNoteFoundIsToldOnceThoughTheMessageComesTwice(t *testing.T) {
	inWorld(t, func(w *world) {
		alice := user(w.T, "alice")
		e := note(w.T, alice, "note")
		w.relays.set(relayURL(1), func(x *remote) { x.events = append(x.events, e) })
		n := events.NoteMissing{EventID: e.ID, Relays: []string{relayURL(1)}}
		f := &faults{at: 2, happened: true} // of the two outputs
		w.fetcher(f)
		w.missing(n)
		time.Sleep(2 * time.Minute)
		if _, count := w.told(events.SubjectNoteFound, n); count != 1 || !f.fired() {
			w.Errorf("told %d times, fault %t", count, f.fired())
		}
		if q := w.relays.seen(relayURL(1)).queries; q != 2 {
			w.Errorf("handled %d times, want twice", q)
		}
		if in := w.ever(contract.StreamIntake); in != 2 { // which takes it once
			w.Errorf("handed to ingest %d times", in)
		}
		w.noDeadLetters()
	})
}

func TestTheFetchServiceAnswersWithinTheCallersDeadline(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		js := w.JS
		go func() {
			ended <- run.Serve(ctx, js, nil, func(string) {}, "relaymesh-note-fetch", events.ServiceNoteFetch,
				func(r events.MissingNoteRequest) int64 { return r.TimeoutMS }, w.fetchStage(nil).Answer)
		}()
		time.Sleep(time.Second)
		ask := func(n events.NoteMissing, timeout time.Duration) (events.MissingNoteResponse, time.Duration, error) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			begun := time.Now()
			r, err := run.Request[events.MissingNoteResponse](ctx, js, events.ServiceNoteFetch,
				events.MissingNoteRequest{NoteMissing: n, TimeoutMS: timeout.Milliseconds()})
			return r, time.Since(begun), err
		}
		e := note(w.T, user(w.T, "alice"), "note")
		quick, slow := relayURL(1), relayURL(2)
		w.relays.set(quick, func(x *remote) { x.events = append(x.events, e) })
		w.relays.set(slow, func(x *remote) { x.latency = time.Hour })

		r, took, err := ask(events.NoteMissing{EventID: e.ID, Relays: []string{slow, quick}}, 2*time.Second)
		if err != nil || !r.Found || r.Event == nil || r.Event.ID != e.ID || r.RelayURL != quick || took > time.Second {
			w.Errorf("%+v, %v after %s", r, err, took)
		}
		r, took, err = ask(events.NoteMissing{EventID: strings.Repeat("0", 64), Relays: []string{slow, quick}}, 2*time.Second)
		if err != nil || r.Found || took > 2100*time.Millisecond || !strings.Contains(r.Why, "deadline") || !strings.Contains(r.Why, slow) {
			w.Errorf("a relay is silent: %+v, %v after %s", r, err, took)
		}
		r, took, err = ask(events.NoteMissing{EventID: strings.Repeat("1", 64), Relays: []string{quick}}, 0)
		if err != nil || r.Found || r.Why == "" || took > time.Second {
			w.Errorf("nobody has it: %+v, %v after %s", r, err, took)
		}
		if _, _, err = ask(events.NoteMissing{EventID: "abc"}, time.Second); err == nil || !strings.Contains(err.Error(), "event_id") {
			w.Errorf("a bad request: %v", err)
		}
		reply, err := js.Conn().Request(events.ServiceNoteFetch, []byte("no JSON"), time.Second)
		if err != nil || reply.Header.Get("Nats-Service-Error-Code") != "400" {
			w.Errorf("no JSON: %+v, %v", reply, err)
		}
		stop()
		if err := <-ended; err != nil {
			w.Errorf("the service ended with %v", err)
		}
	})
}
