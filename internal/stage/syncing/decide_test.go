package syncing

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestChunksCoverEveryAuthorOnce(t *testing.T) {
	authors := make([]string, 1201)
	for i := range authors {
		authors[i] = fmt.Sprintf("%04d", (i*7)%1201)
	}
	seen := map[string]int{}
	filters := chunks(nostr.Filter{Kinds: []int{1}}, authors, 0)
	for _, f := range filters {
		if len(f.Authors) > maxAuthors {
			t.Errorf("a chunk of %d authors", len(f.Authors))
		}
		for _, a := range f.Authors {
			seen[a]++
		}
	}
	if len(filters) != 3 || len(seen) != 1201 {
		t.Errorf("%d filters name %d authors", len(filters), len(seen))
	}
	if chunks(nostr.Filter{}, nil, 0) != nil || mentions(nostr.Filter{}, nil) != nil {
		t.Error("no authors must not become a filter that matches everybody")
	}
	got := chunks(nostr.Filter{Authors: []string{"0003", "x"}}, authors, 0)
	if len(got) != 1 || !slices.Equal(got[0].Authors, []string{"0003"}) {
		t.Errorf("a filter of authors becomes %v", got)
	}
	if chunks(nostr.Filter{Authors: []string{}}, authors, 0) != nil ||
		mentions(nostr.Filter{Tags: map[string][]string{"p": {}}}, authors) != nil {
		t.Error("a filter that names nobody was widened")
	}
	some := nostr.Filter{Tags: map[string][]string{"p": {"x", "0003"}}}
	if got := mentions(some, authors); len(got) != 1 || !slices.Equal(got[0].Tags["p"], []string{"0003"}) {
		t.Errorf("of what mentions some, %+v", got)
	}
	about := mentions(nostr.Filter{Kinds: []int{1}, Tags: map[string][]string{"t": {"x"}}}, authors)
	if len(about) != 3 || len(about[0].Tags["p"]) != maxAuthors || len(about[2].Tags["p"]) != 201 || about[0].Tags["t"] == nil ||
		about[0].Authors != nil || about[0].Kinds == nil {
		t.Errorf("mentions: %d filters", len(about))
	}
}

func TestRememberCountsFailuresInARow(t *testing.T) {
	s := remember(contract.Sync{}, "c", events.SyncFinished{URL: "u", OK: true}, 9, 10)
	s.Progress = &contract.SyncProgress{Begun: 15}
	s = remember(s, "c", events.SyncFinished{URL: "u"}, 15, 20)
	s = remember(s, "c", events.SyncFinished{URL: "u"}, 15, 30)
	if s.Failures != 2 || s.LastOK != 10 || s.LastTry != 30 || s.Through != 9 || s.Progress == nil {
		t.Errorf("%+v", s)
	}
	if s = remember(s, "c", events.SyncFinished{URL: "u", OK: true}, 15, 40); s.Failures != 0 || s.LastOK != 40 || s.Through != 15 ||
		s.Progress != nil {
		t.Errorf("%+v", s)
	}
}

// What a sync has stored counts once, however many attempts it took.
func TestRememberCountsWhatAllSyncsStored(t *testing.T) {
	var s contract.Sync
	for _, r := range []struct {
		cause         string
		stored, total int
	}{{"a", 5, 5}, {"b", 2, 7}, {"b", 6, 11}, {"b", 6, 11}, {"c", 0, 11}, {"d", 1, 12}} {
		if s = remember(s, r.cause, events.SyncFinished{URL: "u", Stored: r.stored}, 9, 10); s.Stored != r.total {
			t.Errorf("after %+v %d are counted", r, s.Stored)
		}
	}
}

// It matters who says it: a relay's "private" is no rule of ours.
func TestRefusalsAreKeptAsLongAsTheyAreTrue(t *testing.T) {
	for code, want := range map[reconcile.Code]time.Duration{
		reconcile.FromTheFuture: time.Hour, reconcile.DeletedByAuthor: 30 * day, reconcile.Protected: 30 * day,
		reconcile.Expired: 30 * day, reconcile.Ephemeral: 30 * day, reconcile.Private: 30 * day,
	} {
		if got := keepFor(reconcile.Reason{Cause: reconcile.ByRules, Code: code}); got != want {
			t.Errorf("%q is kept for %s, want %s", code, got, want)
		}
	}
	if got := keepFor(reconcile.Reason{Cause: reconcile.ByRelay, Code: reconcile.NotKept}); got != 7*day {
		t.Errorf("what is not kept is kept for %s", got)
	}
	for why, want := range map[string]time.Duration{
		"invalid: spam": 30 * day, "replaced: have newer": 30 * day, "pow: 20 bits needed": 30 * day, "Invalid: created_at too early": 30 * day,
		"deleted: user requested deletion": 30 * day, "blocked: not here": day, "restricted: members only": day,
		"auth-required: who are you?": day, "mute: not them": day, "": day, "no": day, "protected: members only": day,
		"protected (NIP-70)": day, "expired subscription: please pay": day, "private": day, "ephemeral": day, "from the future": day,
		"accepted, but not kept": day, "deleted by its author (NIP-09, NIP-62)": day, "invalid event": day, "pow-wow: no": day,
	} {
		if got := keepFor(reconcile.ParseReason(why)); got != want {
			t.Errorf("%q of a relay is kept for %s, want %s", why, got, want)
		}
	}
}

// What was stored before it was noted who said it has the bytes that it had, and
// stands for no longer than it would now.
func TestRefusalsOfBeforeAreReadAnew(t *testing.T) {
	const then = 1_750_000_000
	for why, want := range map[string]time.Duration{
		"protected: members only": day, "expired subscription: please pay": day, "no": day, "invalid: spam": 30 * day,
		"protected (NIP-70)": 30 * day, "from the future": time.Hour, "accepted, but not kept": 7 * day,
		"deleted by its author (NIP-09, NIP-62)": 30 * day,
	} {
		stored := fmt.Sprintf(`{"local":true,"why":%q,"at":%d}`, why, then)
		r, err := nostr.Decode[contract.Refused]([]byte(stored))
		if err != nil || string(nostr.Encode(r)) != stored {
			t.Errorf("%s becomes %s, %v", stored, nostr.Encode(r), err)
		}
		end := then + int64(want.Seconds())
		if !stillRefused(r, end-1) || stillRefused(r, end) {
			t.Errorf("%q does not stand for %s", why, want)
		}
	}
	for _, why := range []reconcile.Reason{{Cause: reconcile.ByRules, Code: reconcile.Private}, reconcile.ParseReason("private")} {
		r := refusedBy(reconcile.Refusal{Reason: why}, then)
		if r.Why != "private" || !stillRefused(r, then+1<<40) || (r.By == byRules) != (why.Cause == reconcile.ByRules) {
			t.Errorf("%+v is stored as %+v", why, r)
		}
	}
}
