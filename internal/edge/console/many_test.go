package console

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// Several pipelines are on one page, those where something is wrong first, and each has its own console below its name,
// also where a proxy leads to them below a path.
func TestSeveralPipelinesAreOnOnePage(t *testing.T) {
	t.Parallel()
	alice, bob := newWorld(t), newWorld(t)
	now := time.Now().Unix()
	for _, w := range []*world{alice, bob} {
		w.process("all.1", contract.Worker{Stages: contract.Stages(), Conditions: []contract.Condition{{Name: "DHT"}}})
		w.put(contract.BucketAuthors, key(1), contract.Author{LastSeen: now, Records: map[string]int64{target(1): 1}})
		w.put(contract.BucketRecords, contract.RecordKey(target(1)), recordHeld(1, 9, now))
	}
	bob.process("all.1", contract.Worker{Stages: contract.Stages(), Conditions: []contract.Condition{{Name: "DHT", Wrong: hostile}}})
	for _, base := range []string{"", "/relaymesh"} {
		m := NewMany(map[string]jetstream.JetStream{"alice": alice.console.js, "bob": bob.console.js}, Options{Base: base})
		for _, name := range []string{"alice", "bob"} {
			if err := m.Console(name).counter.catchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		get := func(path string, options ...func(*http.Request)) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
			for _, o := range options {
				o(r)
			}
			rec := httptest.NewRecorder()
			m.ServeHTTP(rec, r)
			return rec
		}
		var v pipelinesView
		rec := get(base+"/", header("Accept", "application/json"))
		if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil || len(v.Pipelines) != 2 {
			t.Fatalf("%v: %s", err, rec.Body)
		}
		first, second := v.Pipelines[0], v.Pipelines[1]
		if first.Name != "bob" || first.Wrongs() != "DHT" || second.Name != "alice" ||
			len(second.Wrong) != 0 || second.Summary.Users.Findable != 1 || second.Version != "1.2.3" {
			t.Errorf("pipelines are %+v", v.Pipelines)
		}
		page := get(base + "/").Body.String()
		for _, want := range []string{
			`href="` + base + `/pipelines/bob/"`, `href="` + base + `/pipelines/alice/notes"`, "&lt;script&gt;", "1 of 1",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("the page does not say %q", want)
			}
		}
		if strings.Contains(page, `href="`+base+`/users"`) || strings.Contains(page, "<script>alert") {
			t.Errorf("the page is %s", page)
		}
		for _, path := range []string{base + "/pipelines/alice/users", "/pipelines/alice/users"} {
			body := get(path).Body.String()
			if !strings.Contains(body, `href="`+base+`/">All pipelines`) || !strings.Contains(body, `href="`+base+`/pipelines/alice/search?q=`) {
				t.Errorf("%s is %s", path, body)
			}
			for _, l := range links.FindAllStringSubmatch(body, -1) {
				if strings.HasPrefix(l[1], "/") && l[1] != base+"/" && !strings.HasPrefix(l[1], base+"/pipelines/alice/") {
					t.Errorf("%s leads to %s", path, l[1])
				}
			}
		}
		for path, code := range map[string]int{
			base + "/assets/console.css": http.StatusOK, base + "/pipelines/bob/assets/console.css": http.StatusOK,
			base + "/pipelines/carol/": http.StatusNotFound,
			base + "/users":            http.StatusNotFound, base + "/pipelines/alice": http.StatusMovedPermanently,
		} {
			rec := get(path)
			if rec.Code != code || code == http.StatusMovedPermanently && rec.Header().Get("Location") != base+"/pipelines/alice/" {
				t.Errorf("%s is answered %d, %s", path, rec.Code, rec.Header().Get("Location"))
			}
		}
		if rec := get(base+"/", func(r *http.Request) { r.Host = "evil.example.com" }); rec.Code != http.StatusMisdirectedRequest {
			t.Errorf("by another name it answers %d", rec.Code)
		}
	}
}

// One whose NATS is away is told of beside the others.
func TestOnePipelineThatIsAwayLeavesTheOthers(t *testing.T) {
	t.Parallel()
	alice, bob := newWorld(t), newWorld(t)
	m := NewMany(map[string]jetstream.JetStream{"alice": alice.console.js, "bob": bob.console.js}, Options{})
	gone := bob.console.js.Conn().StatusChanged(nats.RECONNECTING, nats.CLOSED)
	bob.Server.Close()
	<-gone
	rec := httptest.NewRecorder()
	m.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "http://localhost/", nil))
	body := rec.Body.String()
	if rec.Code != http.StatusOK || !strings.Contains(body, "NATS") || !strings.Contains(body, `href="/pipelines/alice/"`) {
		t.Errorf("%d, %s", rec.Code, body)
	}
}
