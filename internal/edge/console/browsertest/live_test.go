package browsertest

import (
	"context"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// trickle lets users write at the relay until the test ends.
func trickle(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	t.Cleanup(func() { stop(); <-ended })
	go func() {
		defer close(ended)
		for i := 0; ctx.Err() == nil; i++ {
			key, err := schnorr.NewSecret()
			if err != nil {
				return
			}
			e := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix(), Content: "good morning", Tags: []nostr.Tag{}}
			if i%7 == 0 {
				e.Tags = append(e.Tags, nostr.Tag{"e", randomID(), theWorld.others[0]})
			}
			if err := key.SignEvent(&e); err != nil {
				return
			}
			_, _ = theWorld.pool.At(theWorld.home).Publish(ctx, e) // the relay may be gone already
			time.Sleep(time.Duration(20+rand.IntN(200)) * time.Millisecond)
		}
	}()
}

func randomID() string {
	const digits = "0123456789abcdef"
	id := make([]byte, 64)
	for i := range id {
		id[i] = digits[rand.IntN(len(digits))]
	}
	return string(id)
}

// What a user publishes at the relay shows in the figures and in the charts of
// a page that was opened before, without loading it again.
func TestFiguresComeLive(t *testing.T) {
	t.Parallel()
	p := open(t, "/", how{})
	p.wait("document.getElementById('asof').textContent === 'live'")
	eval[bool](p, "window.theSamePage = true")
	authors := "[...document.querySelectorAll('.buckets dt')].find(e => e.textContent === 'authors')" +
		".nextElementSibling.textContent.replace(/\\D/g, '')"
	before := eval[string](p, authors)
	trickle(t)
	p.wait("Number(" + authors + ") > " + before)
	p.wait("Number(document.getElementById('ingest').dataset.rate) > 0")
	p.wait("document.querySelector('#ingest .chart path.rate').getAttribute('d').startsWith('M')")
	p.wait("[...document.querySelectorAll('#ingest .columns title')].some(e => e.textContent.includes('lag'))")
	if !eval[bool](p, "window.theSamePage === true") {
		t.Error("the page was loaded again")
	}
	const drawn = "getComputedStyle(document.querySelector('#ingest path.rate')).stroke"
	if colour := eval[string](p, drawn); colour != "rgb(74, 59, 208)" { // --rate
		t.Errorf("the chart is drawn in %s", colour)
	}
}

// late is how much later than other files an extension comes over a slow line.
const late = 500 * time.Millisecond

// A page is live although its scripts come one after the other; a console that goes away is said to, and found again when it
// is back.
func TestThePageSaysWhetherItIsLive(t *testing.T) {
	t.Parallel()
	behind, err := url.Parse(theWorld.console)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(at string) (addr string, stop func()) {
		var listener net.Listener
		if err := until(t.Context(), func() (err error) { listener, err = net.Listen("tcp", at); return err }); err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(behind)
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/hx-sse.min.js") {
				time.Sleep(late)
			}
			proxy.ServeHTTP(w, r)
		})
		server := &http.Server{Handler: slow, ErrorLog: log.New(io.Discard, "", 0)}
		go func() { _ = server.Serve(listener) }()
		return listener.Addr().String(), func() { _ = server.Close() }
	}
	addr, stop := serve(loopback.Addr())
	const says = "document.getElementById('asof').textContent"
	p := open(t, "http://"+addr+"/", how{quiet: true})
	p.wait(says + " === 'live'")
	stop()
	p.wait(says + ".startsWith('connecting')")
	_, stop = serve(addr)
	t.Cleanup(stop)
	p.wait(says + " === 'live'")
}
