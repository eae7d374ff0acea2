package browsertest

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
)

// paths are all pages that need no token.
func paths(t *testing.T) []string {
	t.Helper()
	dead := ask[struct {
		DeadLetters []struct {
			Seq uint64 `json:"seq"`
		} `json:"dead_letters"`
	}](t, theWorld, "/dlq").DeadLetters
	if len(dead) == 0 {
		t.Fatal("there are no dead letters")
	}
	return []string{
		"/", "/users", "/users?held=8-12&sort=-holders", "/notes", "/notes?state=lost", "/surveys", "/mesh", "/history",
		"/processes", "/indexes",
		"/relays", "/records", "/dlq", fmt.Sprint("/dlq/", dead[0].Seq), "/login", "/search?q=" + theWorld.alice.PublicKey(),
		"/search?q=" + theWorld.others[0], "/search", "/search" + refusedQuery,
	}
}

// everyPage visits all pages, and then, logged in, those that the token changes
// or opens: the questions before something is done.
func (p *page) everyPage(look func(path string)) {
	p.Helper()
	for _, path := range paths(p.T) {
		p.visit(path)
		look(path)
	}
	p.logIn()
	dead := fmt.Sprint("/dlq/", deadLetters(p.T)[0].Seq)
	for _, page := range []struct{ path, shows string }{
		{"/dlq", "Retry…"}, {dead, "Drop…"}, {dead + "/retry", "Retry dead letter"}, {dead + "/drop", "Drop dead letter"},
	} {
		p.visit(page.path)
		if !strings.Contains(p.visible(), page.shows) {
			p.Errorf("%s does not show %q: %s", page.path, page.shows, p.visible())
		}
		look(page.path + ", logged in")
	}
}

// Axe finds no serious or critical fault in any page, light, dark or narrow, and none scrolls sideways.
func TestPagesAreAccessible(t *testing.T) {
	axe, err := os.ReadFile(os.Getenv("RELAYMESH_AXE"))
	if err != nil {
		t.Fatalf("axe-core is missing; make test-console installs it: %v", err)
	}
	const check = `axe.run({ exclude: ['.columns'] }, { resultTypes: ['violations'] }).then(r => r.violations
		.filter(v => v.impact === 'serious' || v.impact === 'critical')
		.map(v => v.id + ' (' + v.help + '): ' + v.nodes.map(n => n.html.slice(0, 200)).join(' | ')).join('\n'))`
	for name, h := range map[string]how{"light": {}, "dark": {dark: true}, "narrow": {width: 400, height: 800}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, "/", h)
			p.everyPage(func(path string) {
				if has, wide := eval[int](p, "window.innerWidth"), eval[int](p, "document.documentElement.scrollWidth"); wide > has {
					t.Errorf("%s is %d pixels wide of %d", path, wide, has)
				}
				eval[bool](p, string(axe)+";true")
				if faults := eval[string](p, check); faults != "" {
					t.Errorf("%s: %s", path, faults)
				}
			})
			eval[bool](p,
				"document.querySelector('.search input').removeAttribute('aria-label'), "+
					"document.querySelector('.search input').removeAttribute('placeholder'), true")
			if !strings.Contains(eval[string](p, check), "label") {
				t.Error("axe does not find a field without a label in the last page")
			}
		})
	}
}

// Everything can be reached by the keyboard, in the order in which it stands,
// and one sees where one is.
func TestTheKeyboardReachesEverything(t *testing.T) {
	t.Parallel()
	p := open(t, "/dlq", how{})
	var got []string
	for range 16 {
		p.do(chromedp.KeyEvent(kb.Tab))
		got = append(got, eval[string](p, "document.activeElement.textContent.trim() || document.activeElement.name"))
		if !eval[bool](p,
			"getComputedStyle(document.activeElement).outlineStyle === 'solid' && document.activeElement.getBoundingClientRect().left >= 0") {
			t.Errorf("one does not see that %q has the focus", got[len(got)-1])
		}
	}
	want := []string{
		"Skip to the content", "relaymesh",
		"Pipeline", "Mesh", "Users", "Relays", "Records", "Notes", "History", "Dead letters", "q", "Search", "Log in",
		"all stages", "ingest", "dhtworker",
	}
	if !slices.Equal(got, want) {
		t.Errorf("tab goes through %q, want %q", got, want)
	}
	p.visit("/dlq")
	p.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	p.wait("document.activeElement.id === 'main'")
}

func TestSearchFindsAnAuthor(t *testing.T) {
	t.Parallel()
	npub, err := schnorr.EncodeNpub(theWorld.alice.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, "/", how{})
	p.do(chromedp.SendKeys(chromedp.CSS("input[name=q]"), npub+kb.Enter))
	p.do(chromedp.WaitVisible(chromedp.CSS("h1 .query")))
	for _, want := range []string{npub, theWorld.others[0], "the author's own event", "next look-up of the list", "of 12 nodes"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("the page does not say %q: %s", want, p.text())
		}
	}
}

func TestPagesAreUsefulWithoutJavaScript(t *testing.T) {
	t.Parallel()
	p := open(t, "/", how{noScript: true})
	for path, want := range map[string]string{
		"/": "author.seen", "/mesh": "your relay", "/history": "UTC", "/users": "dht", "/relays": theWorld.others[0], "/records": "nodes",
		"/dlq": "event.received",
		"/search?q=" + theWorld.alice.PublicKey(): "npub1",
	} {
		p.visit(path)
		text := p.visible()
		if !strings.Contains(text, want) {
			t.Errorf("%s does not say %q: %s", path, want, text)
		}
	}
}

// A page in the browser cannot be made to run what a stranger wrote.
func TestTheServerSaysWhatPagesMayDo(t *testing.T) {
	t.Parallel()
	resp, err := http.Get(theWorld.console + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is %q", csp)
	}
	p := open(t, "/dlq", how{quiet: true})
	eval[bool](p,
		"(() => { const s = document.createElement('script'); s.textContent = 'window.owned = true'; document.body.append(s); return true })()")
	if eval[bool](p, "window.owned === true") {
		t.Error("an inline script has run")
	}
}
