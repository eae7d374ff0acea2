package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// What stages have done is listed, the newest first, in pages, all or of one sort; what cannot be read says so.
func TestOutcomesAreListed(t *testing.T) {
	w := newWorld(t)
	for i := range perPage + 20 {
		id := fmt.Sprintf("%064x", i)
		w.send(events.SubjectNoteFound, events.MissingNoteResponse{EventID: id, Found: true, RelayURL: goodURL + "/" + hostile})
	}
	w.send(events.SubjectSyncFinished, events.SyncFinished{URL: goodURL, OK: true, Stored: 3})
	w.Publish(events.SubjectNoteLost, []byte("rubbish"))
	all := ask[outcomesView](w, "/outcomes")
	if len(all.Outcomes) != perPage || all.Next == 0 || fmt.Sprint(all.Whats) != "[{note.found 120} {note.lost 1} {sync.finished 1}]" ||
		!strings.HasPrefix(all.Outcomes[0].Text, "cannot be read") || all.Outcomes[1].About != goodURL || all.Outcomes[1].Text != "3 stored" {
		t.Errorf("outcomes are %+v of %v", all.Outcomes[:2], all.Whats)
	}
	rest := ask[outcomesView](w, fmt.Sprint("/outcomes?from=", all.Next))
	if len(rest.Outcomes) != 22 || rest.Next != 0 || rest.Outcomes[21].About != fmt.Sprintf("%064x", 0) {
		t.Errorf("the rest are %d", len(rest.Outcomes))
	}
	found := ask[outcomesView](w, "/outcomes?what=note.found")
	if len(found.Outcomes) != perPage || found.Outcomes[0].About != fmt.Sprintf("%064x", perPage+19) {
		t.Errorf("found are %+v", found.Outcomes[0])
	}
	next := fmt.Sprintf(`/outcomes?from=%d&amp;what=note.found`, found.Next)
	if page := w.page("/outcomes?what=note.found"); !strings.Contains(page, next) ||
		strings.Contains(page, "<script>alert") || strings.Contains(page, "\u202e") || !strings.Contains(page, "/search?q=0000") {
		t.Errorf("the page is %s", page)
	}
}

// Missing notes come in either order, wanted and lost ones.
func TestNotesAreSortedBothWays(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Unix()
	const all = perPage + 5
	for i := range all {
		id := fmt.Sprintf("%064x", i)
		w.send(contract.NoteMissingSubject(id), events.NoteMissing{EventID: id})
		w.put(contract.BucketLost, id, contract.Lost{At: now - all + int64(i), Why: "no"})
	}
	for _, state := range []string{noteWanted, noteLost} {
		for sort, want := range map[string][2]int{"": {0, perPage}, "since": {0, perPage}, "-since": {all - 1, 4}} {
			path := "/notes?state=" + state + "&sort=" + sort
			first := ask[notesView](w, path)
			second := ask[notesView](w, fmt.Sprintf("%s&from=%d", path, first.Next))
			if len(first.Notes) != perPage || len(second.Notes) != 5 || first.Notes[0].Note != fmt.Sprintf("%064x", want[0]) ||
				second.Notes[0].Note != fmt.Sprintf("%064x", want[1]) {
				t.Errorf("%s begins with %s and goes on with %s", path, first.Notes[0].Note, second.Notes[0].Note)
			}
		}
	}
	if page := w.page("/notes?state=lost&sort=-since"); !strings.Contains(page, "&amp;sort=-since&amp;state=lost") ||
		!strings.Contains(page, `aria-sort="descending"`) {
		t.Error("the next page is sorted another way")
	}
}
