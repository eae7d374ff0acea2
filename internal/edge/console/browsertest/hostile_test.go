package browsertest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What strangers write: markup, controls of terminals and of direction, letters that are written from the right, marks upon
// marks, and words without end.
var (
	evil = "\"'><script>window.owned = 1</script><img src=x onerror=\"window.owned = 1\">{{.}}</title>\x1b[2J\u202e\u2066\u0000" +
		"\u05e9\u05dc\u05d5\u05dd" + strings.Repeat("z\u0335\u0334\u0321\u0322\u0327", 40) + strings.Repeat("w", 3000)
	evilURL = "wss://relay.example.com/" + url.PathEscape("\"><script>window.owned = 1</script>\u202e") + strings.Repeat("x", 120)
)

// hostile fills a pipeline with that, wherever a stranger's text is kept.
func (k *known) hostile() {
	for _, stage := range contract.Stages() {
		k.worker(stage, func(w *contract.Worker) {
			w.Host, w.Version = strings.Repeat("w", 3000), evil
			w.Conditions = []contract.Condition{{Name: "tail of " + evilURL, Wrong: evil, Do: evil}, {Name: "gateway"}}
			w.Gateway = &contract.Gateway{Relay: evilURL, Connections: -1}
			w.Index = &contract.Index{URL: evilURL}
			w.Indexes = &contract.Indexes{
				Standings: map[string]int{evil: 1, "lied": 1}, Best: []contract.KnownIndex{{URL: evilURL, Standing: evil, Via: evil}},
			}
			w.Syncs = []contract.RunningSync{{URL: evilURL, Begun: k.now, Of: -3, Done: 9, Missing: -1, Messages: 1}}
			w.Passes = []contract.RunningPass{{Slice: evil, Begun: k.now}}
		})
	}
	key := nostr.RelayKey(evilURL)
	k.put(contract.BucketRelays, key, contract.Relay{
		URL: evilURL, Name: evil, Software: evil, Via: evil, Failures: 1, Fault: evil, NIPs: []int{77}, ProbedAt: k.now,
	})
	k.put(contract.BucketSyncs, key, contract.Sync{
		URL: evilURL, LastTry: k.now, Last: events.SyncFinished{URL: evilURL, OK: true, Missing: 3, Why: evil},
	})
	k.put(contract.BucketSurveys, "01", contract.Survey{Authors: 5, Passed: k.now, Why: evil})
	address := "30023:" + userKey(1) + ":" + "\u05e9\u05dc\u05d5\u05dd\u202e<b>\u1f980"
	k.send(contract.NoteMissingSubject("x"), events.NoteMissing{Address: address, Relays: []string{evilURL, evil}, ReferencedBy: evil})
	k.put(contract.BucketLost, userKey(5), contract.Lost{At: k.now, Until: k.now + 60, Relays: []string{evilURL, evil}, Why: evil})
	k.send(events.SubjectNoteLost, events.MissingNoteResponse{Address: address, Why: evil})
	k.send(contract.DLQSubject(contract.StageFetcher), contract.DeadLetter{
		Stage: evil, Subject: contract.NoteMissingSubject("x") + evil, Reason: evil, Time: k.now, Data: []byte(evil),
	})
	list := contract.List{Version: k.now}
	for i := range 200 {
		at := fmt.Sprintf("%s-%d", evilURL, i)
		list.Write = append(list.Write, at)
		k.put(contract.BucketLinks, contract.LinkKey(nostr.RelayKey(at), userKey(1)), contract.Link{URL: at, Via: map[string]int64{evil: 1}})
	}
	lists := map[string]contract.List{contract.ViaNIP65: list, evil: {Write: []string{evil}}}
	k.put(contract.BucketAuthors, userKey(1), contract.Author{LastSeen: k.now, Lists: lists})
}

// Whatever strangers write stays text, within its place, on every page: nothing runs, nothing is turned round, and no page
// scrolls sideways.
func TestTextsOfStrangersStayText(t *testing.T) {
	t.Parallel()
	k := healthy(t)
	k.hostile()
	at := k.serve()
	p := open(t, at+"/", how{width: 400, height: 800, quiet: true}) // the last one is answered with an error
	p.wait("document.getElementById('asof').textContent === 'live'")
	pages := []string{
		"/", "/users", "/relays", "/records", "/notes", "/notes?state=lost", "/surveys", "/mesh", "/history", "/dlq", "/dlq/1", "/processes",
		"/indexes", "/outcomes", "/search?q=" + userKey(1), "/search?q=" + url.QueryEscape(evilURL), "/search?q=" + url.QueryEscape(evil[:200]),
	}
	for _, path := range pages {
		p.visit(at + path)
		if !p.tame(path) {
			continue
		}
		if wide := eval[int](p, "document.documentElement.scrollWidth"); wide > 400 {
			t.Errorf("%s is %d pixels wide of 400", path, wide)
		}
	}
}

// tame fails the test unless a page is one of the console's, with nothing in it that strangers have made.
func (p *page) tame(path string) bool {
	p.Helper()
	made := eval[string](p, `[...document.querySelectorAll('main script, main img, main b, main style')].map(e => e.outerHTML).join(' ')`)
	text := eval[string](p, "document.documentElement.outerHTML")
	switch {
	case eval[bool](p, "window.owned !== undefined || document.title.includes('<')"):
		p.Errorf("%s runs what a stranger wrote", path)
	case made != "":
		p.Errorf("%s has %s", path, made)
	case strings.ContainsAny(text, "\u202e\u2066\x1b"):
		p.Errorf("%s has controls in it", path)
	case !strings.Contains(text, "<main"):
		p.Errorf("%s is no page: %.200s", path, text)
	default:
		return true
	}
	return false
}

// Pages stand with nobody in them, with one user, and with a thousand relays, of which most are drawn as one.
func TestPagesStandWithNobodyAndWithMany(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		users, relays int
		says          map[string]string
	}{
		"nobody": {0, 0, map[string]string{
			"/": "0 of 0 users", "/users": "No user", "/relays": "No relay", "/mesh": "No other relay", "/records": "No record",
			"/notes": "Nothing is being looked for", "/surveys": "Nothing was surveyed", "/indexes": "No list index", "/history": "UTC",
			"/outcomes": "Nothing here", "/processes": "ingest",
		}},
		"one":  {1, 1, map[string]string{"/": "1 of 1 users", "/mesh": "relay-0.example.com", "/relays": "1 here"}},
		"many": {150, 1000, map[string]string{"/": "150 of 150 users", "/mesh": "952 more", "/relays": "100 here; about 900 more follow"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := empty(t)
			for i := range c.users {
				k.record(i, 9)
			}
			for i := range c.relays {
				k.sync(i, nil)
			}
			at := k.serve()
			p := open(t, at+"/", how{})
			for path, says := range c.says {
				p.visit(at + path)
				if text := p.text(); !strings.Contains(strings.ReplaceAll(text, "\u2009", ""), says) {
					t.Errorf("%s does not say %q: %s", path, says, text)
				}
			}
		})
	}
}
