package syncing

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestChunksCoverEveryAuthorOnce(t *testing.T) {
	authors := make([]string, 1201)
	for i := range authors {
		authors[i] = fmt.Sprintf("%04d", (i*7)%1201)
	}
	seen := map[string]int{}
	filters := chunks(nostr.Filter{Kinds: []int{1}}, authors)
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
	if chunks(nostr.Filter{}, nil) != nil || mentions(nostr.Filter{}, nil) != nil {
		t.Error("no authors must not become a filter that matches everybody")
	}
	if got := chunks(nostr.Filter{Authors: []string{"0003", "x"}}, authors); len(got) != 1 || !slices.Equal(got[0].Authors, []string{"0003"}) {
		t.Errorf("a filter of authors becomes %v", got)
	}
	if chunks(nostr.Filter{Authors: []string{}}, authors) != nil || mentions(nostr.Filter{Tags: map[string][]string{"p": {}}}, authors) != nil {
		t.Error("a filter that names nobody was widened")
	}
	some := nostr.Filter{Tags: map[string][]string{"p": {"x", "0003"}}}
	if got := mentions(some, authors); len(got) != 1 || !slices.Equal(got[0].Tags["p"], []string{"0003"}) {
		t.Errorf("of what mentions some, %+v", got)
	}
	about := mentions(nostr.Filter{Kinds: []int{1}, Tags: map[string][]string{"t": {"x"}}}, authors)
	if len(about) != 3 || len(about[0].Tags["p"]) != maxAuthors || len(about[2].Tags["p"]) != 201 || about[0].Tags["t"] == nil || about[0].Authors != nil || about[0].Kinds == nil {
		t.Errorf("mentions: %d filters", len(about))
	}
}

func TestRememberCountsFailuresInARow(t *testing.T) {
	s := remember(contract.Sync{}, events.SyncFinished{URL: "u", OK: true}, 9, 10)
	s.Progress = &contract.SyncProgress{Begun: 15}
	s = remember(s, events.SyncFinished{URL: "u"}, 15, 20)
	s = remember(s, events.SyncFinished{URL: "u"}, 15, 30)
	if s.Failures != 2 || s.LastOK != 10 || s.LastTry != 30 || s.Through != 9 || s.Progress == nil {
		t.Errorf("%+v", s)
	}
	if s = remember(s, events.SyncFinished{URL: "u", OK: true}, 15, 40); s.Failures != 0 || s.LastOK != 40 || s.Through != 15 || s.Progress != nil {
		t.Errorf("%+v", s)
	}
}

func TestRefusalsAreKeptAsLongAsTheyAreTrue(t *testing.T) {
	const day = 24 * time.Hour
	for why, want := range map[string]time.Duration{
		"from the future": time.Hour, deletedByAuthor: 30 * day, "protected (NIP-70)": 30 * day, "expired (NIP-40)": 30 * day, "ephemeral": 30 * day,
		"invalid: spam": 30 * day, "replaced: have newer": 30 * day, "pow: 20 bits needed": 30 * day, "Invalid: created_at too early": 30 * day,
		"blocked: not here": day, "restricted: members only": day, "auth-required: who are you?": day,
		"accepted, but not kept": 7 * day, "": 7 * day, "no": 7 * day,
	} {
		if got := keepFor(why); got != want {
			t.Errorf("%q is kept for %s, want %s", why, got, want)
		}
	}
}
