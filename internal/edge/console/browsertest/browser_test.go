package browsertest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var (
	theWorld *world
	browser  context.Context
)

func TestMain(m *testing.M) { os.Exit(inWorld(m)) }

func inWorld(m *testing.M) int {
	dir, err := os.MkdirTemp("", "relaymesh-console-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if theWorld, err = setUp(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, "browsertest:", err)
		return 1
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(dir+"/profile"),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	allocator, end := chromedp.NewExecAllocator(ctx, options...)
	defer end()
	var done context.CancelFunc
	browser, done = chromedp.NewContext(allocator)
	defer done()
	if err := chromedp.Do(browser); err != nil { // without a deadline, which would end the browser
		fmt.Fprintln(os.Stderr, "browsertest: chromium:", err)
		return 1
	}
	return m.Run()
}

// within bounds what a test waits for in the browser.
const within = 3 * time.Minute

// page is a tab with cookies of its own.
type page struct {
	*testing.T
	ctx context.Context
}

// how a tab is to be.
type how struct {
	width, height int
	dark, still   bool // still: no motion is wanted
	noScript      bool
	quiet         bool // complaints are expected
}

// open opens a tab on a path, and fails the test if the browser complains
// about anything in it.
func open(t *testing.T, path string, h how) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancelTime := context.WithTimeout(ctx, within)
	t.Cleanup(cancelTime)
	p := &page{t, ctx}
	if h.width == 0 {
		h.width, h.height = 1280, 900
	}
	scheme := "light"
	if h.dark {
		scheme = "dark"
	}
	p.do(chromedp.EmulateViewport(int64(h.width), int64(h.height)), call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: map[bool]string{true: "reduce"}[h.still]},
		},
	}), call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: h.noScript}))
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if h.quiet || strings.HasSuffix(m.URL, refusedQuery) {
				continue
			}
			if m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning || m.Type == chromedp.ConsoleException {
				t.Errorf("the browser says: %s (%s)", m.Text, m.URL)
			}
		}
	}()
	p.visit(path)
	return p
}

// refusedQuery ends the address of a page that is answered with an error, which
// browsers tell.
const refusedQuery = "?q=nonsense"

// call makes a step of a command of the protocol.
func call[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.Fatal(err)
	}
}

func (p *page) visit(path string) {
	p.Helper()
	if strings.HasPrefix(path, "/") {
		path = theWorld.console + path
	}
	p.do(chromedp.Navigate(path))
}

// eval runs an expression in the page.
func eval[T any](p *page, js string) T {
	p.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%.100s: %v", js, err)
	}
	return v
}

// wait waits until an expression is true, for two minutes: the library's own bound is
// 30 s, and it looks at each frame that is drawn, of which a tab in the background has none.
func (p *page) wait(js string) {
	p.Helper()
	poll := chromedp.Poll[bool](js, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(2*time.Minute))
	if _, err := chromedp.Run(p.ctx, poll); err != nil {
		p.Fatalf("%s did not become true: %v; the page is %s and says %q", js, err,
			eval[string](p, "document.visibilityState"), eval[string](p, "document.body.innerText"))
	}
}

// click clicks a link or button.
func (p *page) click(selector string) {
	p.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

func (p *page) text() string { return eval[string](p, "document.body.innerText") }
