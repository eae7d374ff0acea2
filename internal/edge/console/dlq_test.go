package console

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// addDeadLetters stores dead letters and returns how many there are.
func (w *world) addDeadLetters(stages ...string) {
	w.Helper()
	for i, stage := range stages {
		w.send(contract.DLQSubject(stage), contract.DeadLetter{
			Stage: stage, Subject: events.SubjectEventReceived, Data: []byte(hostile), Reason: fmt.Sprint("reason ", i), Attempts: 1, Time: 1000,
			History: []contract.Failure{{Reason: "before", Attempts: 2, Time: 500}},
		})
	}
}

func (w *world) deadLetterCount() uint64 {
	w.Helper()
	stream, err := w.JS.Stream(w.Context(), contract.StreamDLQ)
	if err != nil {
		w.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// logIn gives the token and returns what the browser sends from then on.
func (w *world) logIn() func(*http.Request) {
	w.Helper()
	rec := w.do(http.MethodPost, "/login", "token="+strings.ReplaceAll(testToken, " ", "+"), sameOrigin)
	cookies := rec.Result().Cookies()
	if rec.Code != http.StatusSeeOther || len(cookies) != 1 {
		w.Fatalf("log in: %d, %v", rec.Code, cookies)
	}
	if c := cookies[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.MaxAge <= 0 || strings.Contains(c.Value, "token") {
		w.Errorf("the cookie is %v", c)
	}
	return func(r *http.Request) { r.AddCookie(cookies[0]) }
}

func sameOrigin(r *http.Request) {
	r.Header.Set("Origin", "http://localhost:9464")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
}

func TestDeadLettersComeNewestFirstInPages(t *testing.T) {
	w := newWorld(t)
	var stages []string
	for i := range 230 {
		stages = append(stages, contract.Stages()[i%2])
	}
	w.addDeadLetters(stages...)
	stream, err := w.JS.Stream(t.Context(), contract.StreamDLQ)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(100); seq < 140; seq++ { // a hole
		if err := stream.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	var seqs []uint64
	for path, pages := "/dlq", 0; path != ""; pages++ {
		v := ask[deadLettersView](w, path)
		if len(v.DeadLetters) > perPage || pages > 3 {
			t.Fatalf("%s has %d dead letters", path, len(v.DeadLetters))
		}
		for _, l := range v.DeadLetters {
			seqs = append(seqs, l.Seq)
		}
		if path = ""; v.Next > 0 {
			path = fmt.Sprint("/dlq?from=", v.Next)
		}
	}
	if len(seqs) != 190 || seqs[0] != 230 || seqs[189] != 1 {
		t.Errorf("%d dead letters, the first %d", len(seqs), seqs[0])
	}
	for i := 1; i < len(seqs); i++ {
		if seqs[i] >= seqs[i-1] {
			t.Fatalf("%d comes after %d", seqs[i], seqs[i-1])
		}
	}
	for _, l := range ask[deadLettersView](w, "/dlq?stage=dhtworker").DeadLetters {
		if l.Stage != contract.StageDHTWorker {
			t.Errorf("dead letter %d is of %s", l.Seq, l.Stage)
		}
	}
	if rec := w.do(http.MethodGet, "/dlq?stage=nonsense", ""); rec.Code != http.StatusBadRequest {
		t.Errorf("an unknown stage: %d", rec.Code)
	}
}

func TestOnlyWithTheTokenIsADeadLetterRetriedOrDropped(t *testing.T) {
	w := newWorld(t)
	w.addDeadLetters(contract.StageIngest, contract.StageFetcher, contract.StageIngest)
	bearer := header("Authorization", "Bearer "+testToken)
	for name, try := range map[string]struct {
		want    int
		options []func(*http.Request)
	}{
		"without anything":   {http.StatusUnauthorized, []func(*http.Request){sameOrigin}},
		"with a wrong token": {http.StatusUnauthorized, []func(*http.Request){header("Authorization", "Bearer x")}},
		"with a forged cookie": {http.StatusUnauthorized, []func(*http.Request){sameOrigin, func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: cookieName, Value: "99999999999." + sessions{token: []byte("other")}.mac("99999999999")})
		}}},
		"with an old cookie": {http.StatusUnauthorized, []func(*http.Request){sameOrigin, func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: cookieName, Value: "1000." + w.console.session.mac("1000")})
		}}},
		"from another site": {http.StatusForbidden, []func(*http.Request){bearer, header("Sec-Fetch-Site", "cross-site")}},
		"from another host": {http.StatusForbidden, []func(*http.Request){w.logIn(), header("Origin", "http://evil.example.com")}},
	} {
		for _, do := range []string{doRetry, doDrop} {
			if rec := w.do(http.MethodPost, "/dlq/1/"+do, "", try.options...); rec.Code != try.want {
				t.Errorf("%s %s: %d, want %d", do, name, rec.Code, try.want)
			}
		}
	}
	if n := w.deadLetterCount(); n != 3 {
		t.Fatalf("%d dead letters are left of 3", n)
	}
	if rec := w.do(http.MethodPost, "/login", "token=nonsense", sameOrigin); rec.Code != http.StatusUnauthorized ||
		len(rec.Result().Cookies()) > 0 {
		t.Errorf("log in with a wrong token: %d", rec.Code)
	}
	if page := w.page("/dlq"); strings.Contains(page, "/retry") || !strings.Contains(page, "/login") {
		t.Error("without the token the page offers to retry")
	}

	browser := w.logIn()
	confirm := w.do(http.MethodGet, "/dlq/1/retry", "", browser).Body.String()
	for _, want := range []string{`action="/dlq/1/retry" method="post"`, "Retry it", "reason 0", "before", "&lt;script&gt;"} {
		if !strings.Contains(confirm, want) {
			t.Errorf("the page that asks does not say %q", want)
		}
	}
	if n := w.deadLetterCount(); n != 3 {
		t.Fatal("asking has already done it")
	}
	rec := w.do(http.MethodPost, "/dlq/1/retry", "", browser, sameOrigin)
	if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/dlq?retried=1" {
		t.Errorf("retry: %d, %s", rec.Code, rec.Header())
	}
	w.retried(contract.StageIngest)
	if page := w.page("/dlq?retried=1"); !strings.Contains(page, "Dead letter 1 was retried") {
		t.Error("the page does not say what was done")
	}
	if rec := w.do(http.MethodPost, "/dlq/2/drop", "", bearer, header("Accept", "application/json")); rec.Code != http.StatusOK ||
		rec.Body.String() != "{\"seq\":2,\"done\":\"dropped\"}\n" {
		t.Errorf("drop: %d, %s", rec.Code, rec.Body)
	}
	if n := w.deadLetterCount(); n != 1 {
		t.Errorf("%d dead letters are left, want 1", n)
	}
	for path, want := range map[string]int{
		"/dlq/2/drop": http.StatusNotFound, "/dlq/3/eat": http.StatusNotFound, "/dlq/x/drop": http.StatusNotFound,
	} {
		if rec := w.do(http.MethodPost, path, "", bearer); rec.Code != want {
			t.Errorf("%s: %d, want %d", path, rec.Code, want)
		}
	}
}

// retried checks that a message is back at its stage, with its history.
func (w *world) retried(stage string) {
	w.Helper()
	stream, err := w.JS.Stream(w.Context(), contract.StreamRetry)
	if err != nil {
		w.Fatal(err)
	}
	m, err := stream.GetMsg(w.Context(), 1, jetstream.WithGetMsgSubject(contract.RetrySubjects(stage)))
	if err != nil || string(m.Data) != hostile || !strings.Contains(m.Header.Get("Relaymesh-History"), "before") {
		w.Errorf("the message that went back is %+v, %v", m, err)
	}
}

func TestWithoutATokenNobodyMayActEver(t *testing.T) {
	w := newWorld(t)
	w.addDeadLetters(contract.StageIngest)
	w.console = New(w.console.js, Options{})
	for _, token := range []string{"", testToken} {
		if rec := w.do(http.MethodPost, "/dlq/1/drop", "", header("Authorization", "Bearer "+token)); rec.Code != http.StatusForbidden {
			t.Errorf("drop with the token %q: %d", token, rec.Code)
		}
		if rec := w.do(http.MethodPost, "/login", "token="+token, sameOrigin); rec.Code != http.StatusUnauthorized {
			t.Errorf("log in with the token %q: %d", token, rec.Code)
		}
	}
	if page := w.page("/dlq"); !strings.Contains(page, "--console-token-file") || w.deadLetterCount() != 1 {
		t.Error("the page does not say how to get there")
	}
}

// One that was too long to be kept whole can be dropped only.
func TestACutDeadLetterIsNotRetried(t *testing.T) {
	w := newWorld(t)
	w.send(contract.DLQSubject(contract.StageIngest),
		contract.DeadLetter{Stage: contract.StageIngest, Data: []byte("x"), Size: 1 << 20, Reason: "long"})
	rec := w.do(http.MethodPost, "/dlq/1/retry", "", header("Authorization", "Bearer "+testToken))
	if rec.Code != http.StatusConflict || !strings.Contains(rec.Body.String(), bus.ErrCut.Error()) || w.deadLetterCount() != 1 {
		t.Errorf("retry: %d, %s", rec.Code, rec.Body)
	}
}

func TestPagesAreGuarded(t *testing.T) {
	w := newWorld(t)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:9464": 200, "127.0.0.1:9464": 200, "[::1]:9464": 200, "[::1]": 200, "10.1.2.3:80": 200,
		"console.example.com":      200,
		"Console.Example.com.:443": 200, "evil.example.com": 421, "localhost.evil.example.com:9464": 421, "": 421,
		"127.0.0.1.evil.example.com": 421,
	} {
		rec := w.do(http.MethodGet, "/login", "", func(r *http.Request) { r.Host = host })
		if rec.Code != want {
			t.Errorf("host %q: %d, want %d", host, rec.Code, want)
		}
	}
	for _, path := range []string{"/", "/dlq/77", "/nonsense", "/assets/console.css"} {
		h := w.do(http.MethodGet, path, "").Header()
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s has the headers %v", path, h)
		}
	}
	for size, want := range map[int]bool{8 << 10: true, 16 << 10: false} {
		token := "token=" + strings.ReplaceAll(testToken, " ", "+")
		rec := w.do(http.MethodPost, "/login", token+"&more="+strings.Repeat("x", size), sameOrigin)
		if rec.Code < http.StatusBadRequest != want {
			t.Errorf("a form of %d bytes: %d", size, rec.Code)
		}
	}
	for _, path := range []string{"/assets/", "/assets/nothing.js", "/assets/../console.go", "/assets/vendor"} {
		if rec := w.do(http.MethodGet, path, ""); rec.Code == http.StatusOK {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
	fresh := w.do(http.MethodGet, "/assets/console.css", "")
	if again := w.do(http.MethodGet, "/assets/console.css", "",
		header("If-None-Match", fresh.Header().Get("ETag"))); again.Code != http.StatusNotModified {
		t.Errorf("an asset that has not changed: %d", again.Code)
	}
}
