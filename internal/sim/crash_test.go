package sim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// crash is a message whose handling is interrupted after each of its effects.
type crash struct {
	name string
	work func(w *world, f *faults) *worker
	// send sends the message of one run and returns what tells the state that
	// it leads to, in words that are the same in every run.
	send func(w *world, run string) (state func() string)
}

var crashes = []crash{
	{"ingest: a newer list", (*world).ingest, func(w *world, run string) func() string {
		key := user(w.T, run)
		gone, kept := relayURL(1), relayURL(2)
		for _, url := range []string{gone, kept} {
			put(w, contract.BucketLinks, contract.LinkKey(nostr.RelayKey(url), key.PublicKey()),
				contract.Link{URL: url, Via: map[string]int64{contract.ViaDHT: 50}})
		}
		put(w, contract.BucketAuthors, key.PublicKey(), contract.Author{
			Lists: map[string]contract.List{contract.ViaDHT: {Version: 50, Write: []string{gone, kept}}},
		})
		l := list(w.T, key, 100, kept, relayURL(3))
		w.sendEvent(l.DHT)
		return func() string {
			r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(stage.TargetHex(l.Item)))
			a := get[contract.Author](w, contract.BucketAuthors, key.PublicKey())
			return fmt.Sprint("record of seq ", r.Seq, ", list ", a.Lists[contract.ViaDHT].Write, ", links ", w.links(key.PublicKey()))
		}
	}},
	{"ingest: a reply", (*world).ingest, func(w *world, run string) func() string {
		key, parent := user(w.T, run), user(w.T, run+" parent")
		lacking := note(w.T, parent, "lacking")
		w.sendEvent(note(w.T, key, "reply", nostr.Tag{"e", lacking.ID}, nostr.Tag{"p", parent.PublicKey()},
			nostr.Tag{"dht_key", strings.Repeat("11", 32)}))
		return func() string {
			a := get[contract.Author](w, contract.BucketAuthors, key.PublicKey())
			b := get[contract.Author](w, contract.BucketAuthors, parent.PublicKey())
			return fmt.Sprint("seen ", a.FirstSeen > 0, ", key of the parent's author ", b.DHTKey)
		}
	}},
	{"dht: put a record", (*world).dhtworker, func(w *world, run string) func() string {
		l := list(w.T, user(w.T, run), 100, relayURL(1))
		target := w.keeps(l)
		w.Publish(contract.RelayListSignedSubject(target), []byte("{}"))
		return func() string {
			r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(target))
			return fmt.Sprint("verified ", r.VerifiedAt > 0, ", nodes ", len(r.Nodes)/26, ", failures ", r.Failures)
		}
	}},
	{"dht: look a list up", (*world).dhtworker, func(w *world, run string) func() string {
		key := user(w.T, run)
		l := list(w.T, key, 100, "wss://one."+host(run), "wss://two."+host(run))
		w.dht.set(func(n *network) { n.items[stage.TargetHex(l.Item)] = l.Item })
		put(w, contract.BucketAuthors, key.PublicKey(), contract.Author{DHTKey: hexOf(l.Item.Key[:]), DHTKeyBy: key.PublicKey()})
		w.Publish(contract.AuthorSeenSubject(key.PublicKey()), []byte("{}"))
		return func() string {
			a := get[contract.Author](w, contract.BucketAuthors, key.PublicKey())
			var probed int
			for _, url := range a.Lists[contract.ViaDHT].Write {
				if get[contract.Relay](w, contract.BucketRelays, nostr.RelayKey(url)).ProbedAt > 0 {
					probed++
				}
			}
			scheduled := w.scheduled(contract.AuthorSeenSubject(key.PublicKey()))
			w.unschedule(contract.StreamAuthor) // or it would be due while another author is looked up
			return fmt.Sprint("next look-up set ", a.NextResolve > 0, ", probed ", probed, ", links ", len(w.links(key.PublicKey())), ", schedule ",
				scheduled)
		}
	}},
	{"syncing: discover", (*world).syncworker, func(w *world, run string) func() string {
		url := "wss://" + host(run)
		put(w, contract.BucketLinks, contract.LinkKey(nostr.RelayKey(url), user(w.T, run).PublicKey()),
			contract.Link{URL: url, Via: map[string]int64{contract.ViaHint: 0}})
		w.Publish(contract.RelayDiscoveredSubject(nostr.RelayKey(url)), nostr.Encode(events.RelayDiscovered{URL: url}))
		return func() string {
			r := get[contract.Relay](w, contract.BucketRelays, nostr.RelayKey(url))
			return fmt.Sprint("known ", r.URL == url, ", schedule ", w.scheduled(contract.SyncDueSubject(nostr.RelayKey(url))))
		}
	}},
	{"syncing: sync", (*world).syncworker, func(w *world, run string) func() string {
		key, url := user(w.T, run), "wss://"+host(run)
		all := w.holds(url, key, 3, 60)
		put(w, contract.BucketLinks, contract.LinkKey(nostr.RelayKey(url), key.PublicKey()),
			contract.Link{URL: url, Via: map[string]int64{contract.ViaHint: 0}})
		w.Publish(contract.SyncDueSubject(nostr.RelayKey(url)), nostr.Encode(contract.SyncDue{URL: url}))
		return func() string {
			w.complete(run, all)
			s := w.sync(url)
			return fmt.Sprint("last ok ", s.Last.OK, ", failures ", s.Failures)
		}
	}},
	{"fetch: find a note", (*world).fetcher, func(w *world, run string) func() string {
		e, url := note(w.T, user(w.T, run), "note"), "wss://"+host(run)
		w.relays.set(url, func(x *remote) { x.events = append(x.events, e) })
		w.missing(events.NoteMissing{EventID: e.ID, Relays: []string{url}})
		return func() string {
			w.complete(run, []nostr.Event{e})
			return "written"
		}
	}},
}

// Each effect of a handler, KV write or publish, fails once, and once fails
// but happens all the same. The message comes again, and in the end state and
// outputs are as if nothing had been.
func TestAWorkerThatFailsBetweenItsEffectsChangesNothingInTheEnd(t *testing.T) {
	for _, c := range crashes {
		inWorld(t, func(w *world) {
			w.syncEvery = 24 * time.Hour // no schedule is to fire meanwhile; see host
			w.crash(c)
		})
	}
}

func (w *world) crash(c crash) {
	w.Helper()
	try := func(run string, f *faults) string {
		before := w.outputs()
		x := c.work(w, f)
		state := c.send(w, c.name+run)
		time.Sleep(3 * time.Minute)
		x.end(w.T)
		after := w.outputs()
		for stream, n := range before {
			after[stream] -= n
		}
		return fmt.Sprint(state(), ", outputs ", after)
	}
	want := try("", nil)
	for _, happened := range []bool{false, true} {
		effects := 0
		for at := 1; ; at++ {
			f := &faults{at: at, happened: happened}
			got := try(fmt.Sprint(at, happened), f)
			if got != want {
				w.Errorf("%s, effect %d failed (happened: %t):\n got %s\nwant %s", c.name, at, happened, got, want)
			}
			if !f.fired() {
				break
			}
			effects++
		}
		if effects < 2 {
			w.Errorf("%s (happened: %t) has %d effects only: nothing was tested", c.name, happened, effects)
		}
	}
	w.Logf("%s: %s", c.name, want)
	w.noDeadLetters()
}

// outputs counts what the streams have ever taken, without those whose
// schedules fire by themselves. On the intake an event may come again, which
// ingest takes once: there the different ones that wait count.
func (w *world) outputs() map[string]int {
	w.Helper()
	counts := map[string]int{}
	for _, s := range contract.Streams() {
		if !s.Schedules {
			counts[s.Name] = w.ever(s.Name)
		}
	}
	intake, err := w.JS.Stream(w.Context(), contract.StreamIntake)
	if err != nil {
		w.Fatal(err)
	}
	different := map[string]bool{}
	for state, seq := intake.CachedInfo().State, uint64(1); seq <= state.LastSeq; seq++ {
		if m, err := intake.GetMsg(w.Context(), seq); err == nil { // else ingest has taken it
			different[string(m.Data)] = true
		}
	}
	counts[contract.StreamIntake] = len(different)
	return counts
}

// links are the relays that an author is linked to.
func (w *world) links(pubkey string) (urls []string) {
	w.Helper()
	err := store[contract.Link](w, contract.BucketLinks).Each(context.Background(), contract.LinkKey("*", pubkey),
		func(_ string, l contract.Link) error {
			if w.survey == nil || !stage.OnlySeen(l) {
				urls = append(urls, l.URL)
			}
			return nil
		})
	if err != nil {
		w.Fatal(err)
	}
	slices.Sort(urls)
	return urls
}

// scheduled reports whether a schedule publishes to the subject.
func (w *world) scheduled(subject string) bool {
	w.Helper()
	stream, err := w.JS.StreamNameBySubject(context.Background(), subject)
	if err != nil {
		w.Fatal(err)
	}
	s, err := w.JS.Stream(context.Background(), stream)
	if err != nil {
		w.Fatal(err)
	}
	_, err = s.GetLastMsgForSubject(context.Background(), contract.PrefixSchedule+subject)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		w.Fatal(err)
	}
	return err == nil
}

// host makes a host name of any text, of a domain of its own. A daily sync of its
// relay comes past noon: a world begins at midnight, and no schedule is to fire
// while its tests go on.
func host(text string) string {
	for i := 0; ; i++ {
		name := nostr.RelayKey(fmt.Sprint(text, i)) + ".test"
		cron, _ := contract.Cron("sync:"+nostr.RelayKey("wss://"+name), 24*time.Hour)
		if hour, _ := strconv.Atoi(strings.Fields(cron)[2]); hour >= 12 {
			return name
		}
	}
}

// unschedule ends all schedules of a stream.
func (w *world) unschedule(stream string) {
	w.Helper()
	s, err := w.JS.Stream(w.Context(), stream)
	if err == nil {
		err = s.Purge(w.Context(), jetstream.WithPurgeSubject(contract.PrefixSchedule+">"))
	}
	if err != nil {
		w.Fatal(err)
	}
}
