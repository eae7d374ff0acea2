package console

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A list shows those of one state alone, wherever in the bucket they are, and counts the states of all.
func TestListsAreFilteredOverAllAndNotOverAPage(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Unix()
	for i := range perPage + 30 {
		url := fmt.Sprintf("wss://r%03d.example.com", i)
		r := contract.Relay{URL: url, ProbedAt: now}
		if i%2 == 0 {
			r.ProbeFailures = 2
		}
		if i == perPage+29 {
			r.Failures, r.Fault = 1, "no"
		}
		w.put(contract.BucketRelays, nostr.RelayKey(url), r)
		held := 9
		if i == perPage+20 {
			held = 0
		}
		w.put(contract.BucketRecords, contract.RecordKey(target(i)), recordHeld(i, held, now))
	}
	if err := w.console.counter.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := ask[relaysView](w, "/relays?health=failing")
	if len(v.Relays) != 1 || v.Relays[0].Health != healthFailing || v.Next != 0 ||
		fmt.Sprint(v.Healths) != "[{failing 1} {silent 65} {ok 64}]" {
		t.Errorf("failing are %+v of %v", v.Relays, v.Healths)
	}
	lost := ask[recordsView](w, "/records?state=lost")
	if len(lost.Records) != 1 || lost.Records[0].Target != target(perPage+20) || fmt.Sprint(lost.States) != "[{lost 1} {kept 129}]" {
		t.Errorf("lost are %+v of %v", lost.Records, lost.States)
	}
	if page := w.page("/records?state=lost"); !strings.Contains(page, `<strong class="dead">0 of 12 nodes</strong>`) {
		t.Error("a record that no node holds is not shown in red")
	}
	first := ask[recordsView](w, "/records?state=kept")
	second := ask[recordsView](w, fmt.Sprintf("/records?state=kept&from=%d", first.Next))
	if len(first.Records) != perPage || first.Left != 29 || len(second.Records) != 29 || second.Next != 0 {
		t.Errorf("pages of %d, with %d left, and %d", len(first.Records), first.Left, len(second.Records))
	}
	if page := w.page("/records?state=kept"); !strings.Contains(page, fmt.Sprintf("/records?from=%d&amp;state=kept", first.Next)) {
		t.Error("the second page is not of the same state")
	}
	if v := ask[recordsView](w, "/records?state=kept&slice=3f"); len(v.Records) != 0 {
		t.Errorf("in another slice are %+v", v.Records)
	}
	if v := ask[recordsView](w, "/records?state=kept&from=99999"); len(v.Records) != 0 || v.Next != 0 {
		t.Errorf("behind the end are %+v", v.Records)
	}
	for _, bad := range []string{"/relays?health=nonsense", "/records?state=nonsense", "/records?state=" + hostile[:8]} {
		if rec := w.do(http.MethodGet, bad, ""); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, rec.Code)
		}
	}
}

// Figures of the first page lead to the lists that have just what they count: users by how findable they are and by their
// lists, relays by their proof, slices of the survey by their passes.
func TestFiguresLeadToTheirLists(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Unix()
	for i := range 9 {
		author := contract.Author{LastSeen: now, Records: map[string]int64{target(i): 1}, Lists: map[string]contract.List{}}
		for via, of := range map[string]int{contract.ViaNIP65: 2, contract.ViaDHT: 3} {
			if i%of == 0 {
				author.Lists[via] = contract.List{Write: []string{goodURL}}
			}
		}
		w.put(contract.BucketAuthors, key(i), author)
		w.put(contract.BucketRecords, contract.RecordKey(target(i)), recordHeld(i, max(0, i-2), now))
		url := fmt.Sprintf("wss://r%03d.example.com", i)
		w.put(contract.BucketRelays, nostr.RelayKey(url), contract.Relay{URL: url, ProbedAt: now, ProbeFailures: i / 8})
		synced := contract.Sync{URL: url, LastTry: now, Last: events.SyncFinished{URL: url, Missing: i}}
		if i < 3 {
			synced.LastOK = now
		}
		if i > 6 {
			synced.Last.Stored = i
		}
		w.put(contract.BucketSyncs, nostr.RelayKey(url), synced)
	}
	w.put(contract.BucketSurveys, "0", contract.Survey{Authors: 3, Passed: now - 60})
	w.put(contract.BucketSurveys, "10", contract.Survey{Authors: 2, Passed: now - 8*3600})
	w.put(contract.BucketSurveys, "11", contract.Survey{Authors: 4})
	if err := w.console.counter.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	page := w.page("/")
	rows := func(path string) int { return len(ask[struct{ Users, Relays, Slices []any }](w, path).Users) }
	for path, want := range map[string]int{
		"/users?held=findable": 6, "/users?list=nip65": 5, "/users?list=dht": 3, "/users?list=none": 3, "/users?held=0&list=dht": 1,
	} {
		if got := rows(path); got != want {
			t.Errorf("%s has %d users, want %d", path, got, want)
		}
	}
	for path, want := range map[string]int{
		"/relays?proof=proved": 3, "/relays?proof=unproved": 5, "/relays?proof=live": 8, "/relays?proof=missing": 6,
		"/relays?proof=missing&health=ok": 6,
	} {
		if got := len(ask[relaysView](w, path).Relays); got != want {
			t.Errorf("%s has %d relays, want %d", path, got, want)
		}
	}
	if v := ask[relaysView](w, "/relays?proof=missing&sort=-missing"); v.Relays[0].Missing() != 6 ||
		fmt.Sprint(v.Proofs) != "[{live 8} {proved 3} {unproved 5} {missing 6}]" {
		t.Errorf("the first lacks %d, and proofs are %v", v.Relays[0].Missing(), v.Proofs)
	}
	for path, want := range map[string]string{
		"/surveys": "0 10 11", "/surveys?state=behind": "10", "/surveys?state=waiting": "11", "/surveys?sort=-authors": "11 0 10",
		"/surveys?sort=passed": "11 10 0",
	} {
		var got []string
		v := ask[surveysView](w, path)
		for _, s := range v.Slices {
			got = append(got, s.Slice)
		}
		if strings.Join(got, " ") != want || fmt.Sprint(v.States) != "[{behind 1} {waiting 1} {passed 1}]" {
			t.Errorf("%s has %q of %v, want %s", path, got, v.States, want)
		}
	}
	for _, link := range []string{
		"/users?held=findable", "/users?list=nip65", "/users?list=none", "/relays?proof=proved", "/relays?proof=unproved",
		"/relays?proof=missing&amp;sort=-missing", "/surveys?state=behind", "/outcomes?what=note.found", "/outcomes?what=note.lost", "/records",
	} {
		if !strings.Contains(page, `href="`+link+`"`) {
			t.Errorf("no figure leads to %s", link)
		}
	}
	for _, bad := range []string{"/users?list=x", "/relays?proof=x", "/surveys?state=x", "/surveys?sort=x", "/outcomes?what=x"} {
		if rec := w.do(http.MethodGet, bad, ""); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, rec.Code)
		}
	}
}
