package bus_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

const alice = contract.Prefix("alice")

// pipelines are two in one NATS account: one without a prefix, and alice's.
func pipelines(w *world) map[string]jetstream.JetStream {
	w.Helper()
	js, err := bus.JetStream(w.JS.Conn(), "", alice)
	if err != nil {
		w.Fatal(err)
	}
	all := map[string]jetstream.JetStream{"": w.JS, "alice": js}
	for name, js := range all { // that without a prefix has been provisioned, but for schedules
		if _, err := bus.Provision(w.Context(), js, bus.ProvisionOptions{RefreshEvery: time.Hour}); err != nil {
			w.Fatalf("%q: %v", name, err)
		}
		if again, err := bus.Plan(w.Context(), js, bus.ProvisionOptions{RefreshEvery: time.Hour}); err != nil || len(again) > 0 {
			w.Fatalf("%q: the second time it changes %v, %v", name, again, err)
		}
	}
	return all
}

// Each of two pipelines in one account handles its own messages, at once, on schedules,
// after retries and from its dead letters, and none of the other's.
func TestPipelinesShareAnAccount(t *testing.T) {
	inWorld(t, func(w *world) {
		seen, waits := map[string]*calls{}, map[string]*calls{}
		for name, js := range pipelines(w) {
			mine, waiting := w.record(), w.record()
			seen[name], waits[name] = mine, waiting
			again := func(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				if waiting.add(m) == 1 {
					return nil, contract.Retry(10*time.Minute, "not now")
				}
				return []contract.Output{{Subject: contract.AuthorSeenSubject("known")}}, contract.Reject("never of " + name)
			}
			w.workOn(js, contract.StageIngest, handlers{contract.ConsumerIngest: again})
			w.workOn(js, contract.StageDHTWorker, handlers{
				contract.ConsumerRefresh: mine.then(contract.Done()), contract.ConsumerResolve: mine.then(contract.Done()),
			})
			if _, err := js.Publish(w.Context(), events.SubjectEventReceived, []byte("of "+name)); err != nil {
				w.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		for name, js := range pipelines(w) {
			list := waits[name].all()
			if len(list) != 2 || list[0].Subject != events.SubjectEventReceived || list[1].Subject != events.SubjectEventReceived ||
				string(list[1].Data) != "of "+name || list[1].Attempt != 2 || list[1].Cause != list[0].Cause {
				w.Errorf("%q was given %+v", name, list)
			}
			due := 0
			for _, c := range seen[name].all() {
				if strings.HasPrefix(c.Subject, "record.due.") {
					due++
				}
			}
			if due < 256 || due > 270 { // the second is looked at a minute later
				w.Errorf("%q: %d slices were due in an hour", name, due)
			}
			letters, err := bus.OpenDLQ(w.Context(), js)
			if err != nil {
				w.Fatal(err)
			}
			n := 0
			for dead, err := range letters.Each(w.Context(), bus.DeadLetterFilter{Stage: contract.StageIngest}) {
				if n++; err != nil || dead.Reason != "never of "+name || dead.Subject != events.SubjectEventReceived {
					w.Errorf("%q has the dead letter %+v, %v", name, dead, err)
				}
				if err := letters.Retry(w.Context(), dead); err != nil {
					w.Error(err)
				}
			}
			time.Sleep(time.Minute)
			if list = waits[name].all(); n != 1 || len(list) != 3 || list[2].Subject != events.SubjectEventReceived {
				w.Errorf("%q has %d dead letters, and was given %+v", name, n, list)
			}
		}
	})
}

// What a worker does not survive is told of in the pipeline that it is of.
func TestAdvisoriesAreThoseOfTheirPipeline(t *testing.T) {
	inWorld(t, func(w *world) {
		all := pipelines(w)
		for name, js := range all {
			if _, err := js.Publish(w.Context(), contract.NoteMissingSubject("poison"), []byte(name)); err != nil {
				w.Fatal(err)
			}
			c, err := js.Consumer(w.Context(), contract.StreamNote, contract.ConsumerFetch)
			if err != nil {
				w.Fatal(err)
			}
			for range contract.MaxDeliver + 1 { // each is a worker that dies with it, and one asks for more
				_, _ = c.Next(jetstream.FetchMaxWait(time.Minute))
			}
		}
		for _, js := range all {
			w.workOn(js, contract.StageFetcher, handlers{})
		}
		time.Sleep(time.Minute)
		for name, js := range all {
			letters, err := bus.OpenDLQ(w.Context(), js)
			if err != nil {
				w.Fatal(err)
			}
			n := 0
			for dead, err := range letters.Each(w.Context(), bus.DeadLetterFilter{}) {
				if n++; err != nil || string(dead.Data) != name || dead.Subject != contract.NoteMissingSubject("poison") {
					w.Errorf("%q has the dead letter %+v, %v", name, dead, err)
				}
			}
			if n != 1 {
				w.Errorf("%q has %d dead letters", name, n)
			}
		}
	})
}

// Buckets of the same name are two.
func TestBucketsAreThoseOfTheirPipeline(t *testing.T) {
	inWorld(t, func(w *world) {
		for name, js := range pipelines(w) {
			relays, err := kv.Open[contract.Relay](w.Context(), js, contract.BucketRelays)
			if err != nil {
				w.Fatal(err)
			}
			if _, err := relays.Update(w.Context(), "key", func(old contract.Relay, exists bool) (contract.Relay, bool) {
				if exists {
					w.Errorf("%q finds what the other has written: %+v", name, old)
				}
				return contract.Relay{Name: name}, true
			}); err != nil {
				w.Error(err)
			}
			n := 0
			for entry, err := range relays.List(w.Context(), ">") {
				if n++; err != nil || entry.Key != "key" || entry.Value.Name != name {
					w.Errorf("%q lists %+v, %v", name, entry, err)
				}
			}
			page, err := relays.Page(w.Context(), "*", 0, 10)
			found, err2 := relays.GetAll(w.Context(), []string{"key"})
			if err != nil || err2 != nil || n != 1 || len(page.Entries) != 1 || page.Entries[0].Key != "key" || found["key"].Name != name {
				w.Errorf("%q lists %d, reads %+v (%v) and %+v (%v)", name, n, page, err, found, err2)
			}
		}
	})
}

// Whoever names another prefix than the pipeline has is told so, and a stream of a stranger that
// has the name with the prefix is not touched.
func TestThePrefixIsNamed(t *testing.T) {
	inWorld(t, func(w *world) {
		js, err := bus.JetStream(w.JS.Conn(), "", alice)
		if err != nil {
			w.Fatal(err)
		}
		_, err = kv.Open[contract.Relay](w.Context(), js, contract.BucketRelays)
		_, err2 := bus.OpenDLQ(w.Context(), js)
		for _, err := range []error{err, err2} {
			if err == nil || !strings.Contains(err.Error(), "--nats-prefix alice") {
				w.Errorf("opened without being there: %v", err)
			}
		}
		if _, err := w.JS.CreateStream(w.Context(), jetstream.StreamConfig{Name: "alice_NOTE", Subjects: []string{"x"}}); err != nil {
			w.Fatal(err)
		}
		made, err := bus.Provision(w.Context(), js, bus.ProvisionOptions{})
		if err == nil || len(made) > 0 || !strings.Contains(err.Error(), "stream alice_NOTE: there is one of that name") {
			w.Errorf("made %v, %v", made, err)
		}
	})
}

// Versions before prefixes stored the advisories of all streams in the account.
func TestAdvisoriesOfOthersAreLeftToThem(t *testing.T) {
	w := natstest.NewWorld(t) // not in fake time, in which the server holds all in a stream that it changes for old
	stream, err := w.JS.Stream(w.Context(), contract.StreamAdvisories)
	if err != nil {
		w.Fatal(err)
	}
	before := stream.CachedInfo().Config
	before.Subjects = []string{contract.AdvisoryMaxDeliveries + ".>"}
	if _, err := w.JS.UpdateStream(w.Context(), before); err != nil {
		w.Fatal(err)
	}
	w.Publish(contract.AdvisoryMaxDeliveries+".NOTE.fetch", []byte("{}"))
	made, err := bus.Provision(w.Context(), w.JS, bus.ProvisionOptions{})
	if err != nil || len(made) != 1 || made[0].What != "stream ADVISORIES" || w.Stored(contract.StreamAdvisories) != 1 {
		w.Fatalf("made %v, %v; %d advisories are left, want the one of ours", made, err, w.Stored(contract.StreamAdvisories))
	}
	pipelines(&world{World: w})
}
