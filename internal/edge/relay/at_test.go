package relay

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// What a relay says of its messages is asked for once, and nothing is no limit.
func TestRelaysSayWhatTheyTake(t *testing.T) {
	asked := 0
	document := `{"limitation":{"max_message_length":20200}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			http.NotFound(w, r)
			return
		}
		asked++
		fmt.Fprint(w, document)
	}))
	defer server.Close()
	url := "ws" + strings.TrimPrefix(server.URL, "http")
	p := newPool(t)
	for range 2 {
		if l := p.At(url).Limits(testContext(t)); l != (reconcile.Limits{Accepts: 10_000}) {
			t.Errorf("it takes %+v", l)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	document = `{"limitation":{"max_message_length":10200}}`
	p.said.Put(url, said{until: time.Now()})
	if l := p.At(url).Limits(testContext(t)); l.Accepts != 5000 || asked != 2 {
		t.Errorf("after a while it takes %+v, asked %d times", l, asked)
	}
	other := newPool(t)
	for _, document = range []string{"no document", "no document", `{}`, `{"limitation":{"max_message_length":1}}`} {
		at := other.At(url)
		for range 3 { // of one sync
			if l := at.Limits(testContext(t)); l != (reconcile.Limits{}) {
				t.Errorf("it says nothing, and takes %+v", l)
			}
		}
	}
	if asked != 5 {
		t.Errorf("asked %d times more, want 3: once for each sync, until it answers", asked-2)
	}
}

// The first request does not wait for what the relay says of itself: it is dialled at
// the same time.
func TestARelayIsDialledWhileItSaysWhatItTakes(t *testing.T) {
	dialled := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			close(dialled)
			http.NotFound(w, r)
			return
		}
		select {
		case <-dialled:
			fmt.Fprint(w, `{"limitation":{"max_message_length":20200}}`)
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	p := newPool(t)
	if l := p.At("ws" + strings.TrimPrefix(server.URL, "http")).Limits(testContext(t)); l.Accepts != 10_000 {
		t.Errorf("it takes %+v", l)
	}
}
