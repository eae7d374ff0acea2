package sim_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// An author without a list is found where others write, by workers with no more than
// their permissions, one of which dies over it; from then on new notes come with the
// syncs of that relay, and the list service says where the author was seen.
func TestAnAuthorWithoutAListIsFoundByTheSurvey(t *testing.T) {
	inWorld(t, func(w *world) {
		w.survey = func(context.Context) bool { return true }
		w.ingest(nil)
		first := w.syncworker(nil)
		alice, bob := user(w.T, "alice"), user(w.T, "bob")
		url := relayURL(1)
		w.Publish(events.SubjectEventReceived, nostr.Encode(w.holds(home, alice, 1, 60)[0]))
		old := w.holds(url, alice, 30, 3600)
		w.holds(url, bob, 5, 60)
		w.discover(url, bob)
		time.Sleep(time.Minute)
		if n := len(w.relays.ids(home)); n != 1+5 {
			w.Errorf("the local relay holds %d events before any survey", n)
		}
		first.end(t)
		w.syncworker(nil)
		time.Sleep(2 * time.Hour)
		w.complete("by the survey", old)
		link := get[contract.Link](w, contract.BucketLinks, contract.LinkKey(nostr.RelayKey(url), alice.PublicKey()))
		if !stage.OnlySeen(link) || link.Delivered != len(old) {
			w.Errorf("linked by %+v", link)
		}
		answer, err := w.service().Resolve(w.Context(), events.ResolveRequest{PubKey: alice.PublicKey()})
		if err != nil || answer.Found || !slices.Equal(answer.Seen, []string{url}) {
			w.Errorf("the service answers %+v, %v", answer, err)
		}
		later := w.holds(url, alice, 2, 60)
		time.Sleep(syncEvery + time.Minute)
		w.complete("with the next sync", later)
		if s := get[contract.Survey](w, contract.BucketSurveys, contract.SurveyRoot); s.Authors != 2 || !s.Looks[nostr.RelayKey(url)].Whole {
			w.Errorf("remembered is %+v", s)
		}
		w.noDeadLetters()
	})
}
