package console

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

//go:embed templates
var templateFiles embed.FS

// within bounds how long a page may wait for NATS.
const within = 10 * time.Second

// Options are what the console does not find in NATS.
type Options struct {
	// Token is the operator's; see [ReadToken]. Without one nobody may change
	// anything.
	Token []byte
	// Hosts are the names by which browsers reach the console, beside
	// localhost and IP addresses.
	Hosts []string
	// Base is the path below which browsers reach it through a proxy, "/relaymesh"; ""
	// is the root. Requests may come with it or without.
	Base string
	// Log takes what goes wrong; nil discards it.
	Log *slog.Logger

	all string // address of the page over several pipelines, "" for none; see [NewMany]
}

// Console serves the pages. It is safe for concurrent use.
type Console struct {
	js      jetstream.JetStream
	log     *slog.Logger
	session sessions
	hosts   []string
	base    string
	all     string
	feed    *feed
	counter *counter
	streams streams
	within  time.Duration
	views   map[string]*template.Template
	handler http.Handler
}

// New makes a console over a NATS connection, which stays the caller's. It
// asks NATS for nothing until somebody looks.
//
// A new page is a line here: its path, the name of its template, and a function
// that reads its data, which are also its JSON.
func New(js jetstream.JetStream, o Options) *Console {
	c := bare(o)
	c.js, c.streams, c.counter = js, newStreams(), newCounter(js, append(countedBuckets(), contract.BucketHistory))
	c.session = sessions{o.Token, o.Base + "/"}
	c.feed = newFeed(func(ctx context.Context, before *Pipeline) (*Pipeline, error) { return read(ctx, js, before) })

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.page("pipeline", c.pipeline))
	mux.HandleFunc("GET /events", c.events)
	mux.HandleFunc("GET /users", c.page("users", c.users))
	mux.HandleFunc("GET /notes", c.page("notes", c.notes))
	mux.HandleFunc("GET /surveys", c.page("surveys", c.surveys))
	mux.HandleFunc("GET /relays", c.page("relays", c.relays))
	mux.HandleFunc("GET /records", c.page("records", c.records))
	mux.HandleFunc("GET /search", c.page("search", c.search))
	mux.HandleFunc("GET /outcomes", c.page("outcomes", c.outcomes))
	mux.HandleFunc("GET /processes", c.page("processes", c.processes))
	mux.HandleFunc("GET /indexes", c.page("indexes", c.indexes))
	mux.HandleFunc("GET /mesh", c.page("mesh", c.mesh))
	mux.HandleFunc("GET /history", c.page("history", c.history))
	mux.HandleFunc("GET /dlq", c.page("deadletters", c.deadLetters))
	mux.HandleFunc("GET /dlq/{seq}", c.page("deadletter", c.deadLetter))
	mux.HandleFunc("GET /dlq/{seq}/{do}", c.page("confirm", c.confirm))
	mux.HandleFunc("POST /dlq/{seq}/{do}", c.act)
	mux.Handle("GET /assets/", assets())
	mux.HandleFunc("GET /login", c.page("login", c.login))
	mux.HandleFunc("POST /login", c.begin)
	mux.HandleFunc("POST /logout", c.end)
	mux.HandleFunc("/", c.page("", func(*http.Request) (any, error) { return nil, errNoPage }))
	c.handler = c.guard(below(o.Base, mux))
	return c
}

// bare is a console that shows pages and has nothing to show yet; nobody may act there.
func bare(o Options) *Console {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Console{log: o.Log, hosts: o.Hosts, base: o.Base, all: o.all, within: within, views: views(o.Base)}
}

// Run keeps the counts of the first page, and their history, until ctx ends, whether
// somebody looks or not. Without it they stay at zero, and the page says that they are not whole.
func (c *Console) Run(ctx context.Context) error {
	kept := "" // under which key figures were kept last
	c.counter.run(ctx, func(err error) {
		if err != nil {
			c.log.WarnContext(ctx, "console: cannot count what is stored", "err", err)
			return
		}
		now := time.Now()
		if key := contract.HistoryKey(now.Unix()); key != kept {
			if err := c.keep(ctx, now); err != nil { // it is tried again, else there is a gap
				c.log.DebugContext(ctx, "console: cannot keep figures", "err", err)
				return
			}
			kept = key
		}
	})
	return nil
}

// ServeHTTP answers one request.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// below serves requests whose path begins with base as if it did not.
func below(base string, next http.Handler) http.Handler {
	if base == "" {
		return next
	}
	stripped := http.StripPrefix(base, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == base: // else the links of the page would lead beside it
			http.Redirect(w, r, base+"/", http.StatusMovedPermanently)
		case strings.HasPrefix(r.URL.Path, base+"/"):
			stripped.ServeHTTP(w, r)
		default: // the proxy has taken it away
			next.ServeHTTP(w, r)
		}
	})
}

// views parses the templates, each page together with the layout; their links begin
// with a path.
func views(path string) map[string]*template.Template {
	own := template.FuncMap{"base": func() string { return path }}
	base := template.Must(template.New("layout").Funcs(functions).Funcs(own).ParseFS(templateFiles, "templates/layout.html"))
	pages, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		panic(err)
	}
	out := map[string]*template.Template{}
	for _, file := range pages {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "templates/"), ".html")
		out[name] = template.Must(template.Must(base.Clone()).ParseFS(templateFiles, file))
	}
	return out
}

// A pageError is an answer that is not a page.
type pageError struct {
	Code int    `json:"code"`
	Why  string `json:"error"`
}

func (e *pageError) Error() string { return e.Why }

var errNoPage = &pageError{http.StatusNotFound, "there is no such page"}

// frame is what the layout shows around a page.
type frame struct {
	Page    string // name of the view
	All     string // address of the page over all pipelines, "" if there is but one
	Over    bool   // it is that page itself, which has none of the others
	Again   string // address by which the page keeps itself as new as can be, "" if it does not
	Query   string // what was searched for
	CanAct  bool   // the token was given
	CanSign bool   // there is a token to give
	Now     time.Time
	Data    any
}

// page serves what a function finds, as HTML or JSON.
func (c *Console) page(name string, find func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), c.within)
		defer cancel()
		data, err := find(r.WithContext(ctx))
		if err != nil {
			c.fail(w, r, err)
			return
		}
		c.show(w, r, http.StatusOK, name, data)
	}
}

// fail tells what went wrong. What NATS says is logged, too.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	var problem *pageError
	if !errors.As(err, &problem) {
		c.log.WarnContext(r.Context(), "console: a page failed", "path", r.URL.Path, "err", err)
		problem = &pageError{http.StatusBadGateway, "NATS does not give what this page shows: " + err.Error()}
	}
	c.show(w, r, problem.Code, "problem", problem)
}

// show writes a view. It is made as a whole first, so that a mistake in it
// cannot send half a page.
func (c *Console) show(w http.ResponseWriter, r *http.Request, code int, name string, data any) {
	w.Header().Add("Vary", "Accept, Cookie")
	w.Header().Set("Cache-Control", "no-store")
	var body bytes.Buffer
	var err error
	if wantsJSON(r) {
		w.Header().Set("Content-Type", "application/json")
		err = json.NewEncoder(&body).Encode(data)
	} else {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		err = c.views[name].ExecuteTemplate(&body, "layout", frame{
			Page: name, All: c.all, Over: c.feed == nil, Again: c.again(name, r), Query: r.URL.Query().Get("q"),
			CanAct: c.session.may(r), CanSign: c.session.possible(), Now: time.Now(), Data: data,
		})
	}
	if err != nil {
		c.log.ErrorContext(r.Context(), "console: a page cannot be shown", "path", r.URL.Path, "err", err)
		http.Error(w, "this page cannot be shown; the log says why", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(code)
	_, _ = body.WriteTo(w) // the reader may have left
}

// moving are the views of what moves, beside the first page, which is told what is new.
var moving = []string{
	"mesh", "users", "relays", "records", "notes", "surveys", "history", "deadletters", "processes", "indexes", "outcomes", "pipelines",
}

// again is where a page loads itself from again, every few seconds, if what it shows moves.
func (c *Console) again(name string, r *http.Request) string {
	if !slices.Contains(moving, name) {
		return ""
	}
	address := url.URL{Path: c.base + r.URL.Path, RawQuery: r.URL.RawQuery}
	return address.String()
}

// wantsJSON reports whether the caller prefers JSON to a page.
func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// need names what is missing where the pipeline was never set up.
func need(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) ||
		errors.Is(err, jetstream.ErrBucketNotFound) {
		return &pageError{http.StatusServiceUnavailable, fmt.Sprintf("%v: run relaymesh provision first", err)}
	}
	return err
}
