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
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
