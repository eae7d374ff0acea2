package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Lists are sorted over all and not over a page, both ways, and keep their filters.
func TestListsAreSortedOverAll(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Unix()
	const all = perPage + 20
	for i := range all {
		url := fmt.Sprintf("wss://r%03d.example.com", i)
		w.put(contract.BucketRelays, nostr.RelayKey(url), contract.Relay{
			URL: url, ProbedAt: now, LatencyMS: int64((i * 7) % all), ProbeFailures: 1 - min(1, i%10),
		})
		w.put(contract.BucketSyncs, nostr.RelayKey(url), contract.Sync{URL: url, LastOK: now, LastTry: now - int64(i), Stored: (i * 11) % all})
		w.put(contract.BucketAuthors, key(i), contract.Author{Records: map[string]int64{target(i): 1}, LastSeen: now})
		w.put(contract.BucketRecords, contract.RecordKey(target(i)), recordHeld(i, i%13, now))
	}
	w.put(contract.BucketAuthors, key(all), contract.Author{LastSeen: now})
	if err := w.console.counter.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for by, value := range map[string]func(Relay) int{
		"latency": func(r Relay) int { return int(r.Is.LatencyMS) },
		"stored":  func(r Relay) int { return r.Sync.Stored },
		"synced":  func(r Relay) int { return int(r.Sync.LastTry - now) },
	} {
		up, down := ask[relaysView](w, "/relays?sort="+by), ask[relaysView](w, "/relays?sort=-"+by)
		rest := ask[relaysView](w, fmt.Sprintf("/relays?sort=%s&from=%d", by, up.Next))
		rows := slices.Concat(up.Relays, rest.Relays)
		if len(rows) != all || value(down.Relays[0]) != value(rows[all-1]) || value(down.Relays[0])-value(rows[0]) != all-1 {
			t.Errorf("%s: %d relays, from %d to %d, and the first the other way is %d", by, len(rows), value(rows[0]), value(rows[all-1]),
				value(down.Relays[0]))
		}
		for i := range rows[1:] {
			if value(rows[i]) > value(rows[i+1]) {
				t.Errorf("%s: %d comes before %d", by, value(rows[i]), value(rows[i+1]))
			}
		}
	}
	if v := ask[relaysView](w, "/relays"); v.Relays[0].Health != healthSilent || v.Relays[perPage-1].Health != healthOK {
		t.Errorf("those in trouble are not first: %s and %s", v.Relays[0].Health, v.Relays[perPage-1].Health)
	}
	if page := w.page("/relays?health=ok&sort=-stored"); !strings.Contains(page, `aria-sort="descending"`) ||
		!strings.Contains(page, `href="/relays?health=ok&amp;sort=stored"`) || !strings.Contains(page, "&amp;health=ok&amp;sort=-stored") {
		t.Error("the heads or the next page lose how the list is shown")
	}
	records := ask[recordsView](w, "/records?sort=holders")
	if records.Records[0].Holders != 0 || records.Records[perPage-1].Holders < records.Records[1].Holders {
		t.Errorf("records are held by %d to %d", records.Records[0].Holders, records.Records[perPage-1].Holders)
	}
	for _, bad := range []string{"/relays?sort=nonsense", "/records?sort=--due", "/users?sort=url", "/users?held=5", "/notes?state=kept"} {
		if rec := w.do(http.MethodGet, bad, ""); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, rec.Code)
		}
	}
	w.usersAreListed(all)
}

// usersAreListed looks at the users of the test above: i % 13 nodes hold the record of user i, and
// the last one has none.
func (w *world) usersAreListed(all int) {
	w.Helper()
	v := ask[usersView](w, "/users?sort=-holders")
	if len(v.Users) != perPage || v.Users[0].Holders != 12 || v.Left != uint64(all+1-perPage) {
		w.Errorf("%d users, the first held by %d, %d more", len(v.Users), v.Users[0].Holders, v.Left)
	}
	if got := fmt.Sprint(v.Helds); got != "[{0 10} {1-3 29} {4-7 36} {8-12 45} {none 1}]" {
		w.Errorf("users are counted as %s", got)
	}
	lost := ask[usersView](w, "/users?held=0")
	if len(lost.Users) != 10 || lost.Users[0].Holders != 0 || lost.Users[0].Records != 1 {
		w.Errorf("held by none are %d, %+v", len(lost.Users), lost.Users[0])
	}
	if page := w.page("/users?held=0"); strings.Count(page, `<strong class="dead">no node</strong>`) != 10 {
		w.Error("a record that no node holds is not red")
	}
	if none := ask[usersView](w, "/users?held=none"); len(none.Users) != 1 || none.Users[0].PubKey != key(all) || none.Users[0].Records != 0 {
		w.Errorf("without a record are %+v", none.Users)
	}
}

// Notes that are wanted and lost, and slices of the survey, are lists; what strangers wrote is text.
func TestMissingNotesAndSurveysAreListed(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Unix()
	wanted, lost := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	evil := []string{goodURL + "/" + hostile}
	w.send(contract.NoteMissingSubject(wanted), events.NoteMissing{EventID: wanted, ReferencedBy: lost, Relays: evil})
	w.Publish(contract.NoteMissingSubject(lost), []byte("rubbish"))
	w.put(contract.BucketLost, lost, contract.Lost{At: now - 60, Until: now + 3600, Relays: []string{badURL}, Why: hostile})
	v := ask[notesView](w, "/notes")
	if len(v.Notes) != 1 || v.Notes[0].Note != wanted || v.Notes[0].By != lost || len(v.Bad) != 1 ||
		fmt.Sprint(v.States) != "[{wanted 2} {lost 1}]" {
		t.Errorf("wanted are %+v", v)
	}
	v = ask[notesView](w, "/notes?state=lost")
	if len(v.Notes) != 1 || v.Notes[0].Note != lost || v.Notes[0].Until != now+3600 || v.Notes[0].Why == "" {
		t.Errorf("lost are %+v", v)
	}
	look := map[string]contract.Look{"a": {At: now, All: 5, Whole: true}, "b": {At: now - 8*aDay, All: 2, Whole: true}, "c": {All: -9}}
	for slice, is := range map[string]contract.Survey{
		"all": {Split: true, Authors: 9, Passed: 1},
		"0":   {Authors: 40, Passed: now - 60, Looks: look},
		"1":   {Authors: 30, Passed: now - 7*3600, Why: hostile},
		"2":   {Passed: now - 9*3600},
		"3":   {Authors: 4},
	} {
		w.put(contract.BucketSurveys, slice, is)
	}
	if err := w.console.counter.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := w.console.counter.summary().Survey; s != (Surveyed{Slices: 4, Authors: 74, Yielded: 7, Oldest: now - 7*3600, Behind: 1}) {
		t.Errorf("the survey is %+v", s)
	}
	rows := ask[surveysView](w, "/surveys").Slices
	if len(rows) != 4 || rows[0].Slice != "0" || rows[0].Whole != 1 || rows[0].Yielded != 7 || rows[0].Relays != 3 ||
		rows[0].Behind || !rows[1].Behind {
		t.Errorf("slices are %+v", rows)
	}
	for _, path := range []string{"/notes", "/notes?state=lost", "/surveys"} {
		page := w.page(path)
		for _, never := range []string{"<script>alert", "\u202e", "\x07"} {
			if strings.Contains(page, never) {
				t.Errorf("%s has %q", path, never)
			}
		}
		if !strings.Contains(page, "&lt;script&gt;") && !strings.Contains(page, "%3cscript%3e") {
			t.Errorf("%s does not show what was said", path)
		}
	}
}
