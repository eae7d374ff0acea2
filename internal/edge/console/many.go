package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Many is one page over the consoles of several pipelines, each of which is below its
// name. It is safe for concurrent use.
type Many struct {
	root     *Console // which has no pipeline
	names    []string
	consoles map[string]*Console
	handler  http.Handler
}

// manyPath is what comes before the names of pipelines.
const manyPath = "/pipelines/"

// NewMany makes consoles of pipelines, by their names, which may be parts of a path. The
// connections stay the caller's.
func NewMany(pipelines map[string]jetstream.JetStream, o Options) *Many {
	m := &Many{root: bare(o), consoles: map[string]*Console{}}
	for name, js := range pipelines {
		m.names = append(m.names, name)
		own := o
		own.Base, own.all = o.Base+manyPath+name, o.Base+"/"
		m.consoles[name] = New(js, own)
	}
	slices.Sort(m.names)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", m.root.page("pipelines", m.pipelines))
	mux.Handle("GET /assets/", assets())
	mux.HandleFunc("/", m.root.page("", func(*http.Request) (any, error) { return nil, errNoPage }))
	for name, c := range m.consoles {
		mux.Handle(manyPath+name+"/", http.StripPrefix(manyPath+name, c))
		mux.Handle(manyPath+name, http.RedirectHandler(c.base+"/", http.StatusMovedPermanently))
	}
	m.handler = m.root.guard(below(o.Base, mux))
	return m
}

// Console returns that of a pipeline.
func (m *Many) Console(name string) *Console { return m.consoles[name] }

// Run is [Console.Run] of all.
func (m *Many) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, c := range m.consoles {
		group.Go(func() error { return c.Run(ctx) })
	}
	return group.Wait()
}

// ServeHTTP answers one request.
func (m *Many) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// PipelineRow is a pipeline in the list; its JSON is stable.
type PipelineRow struct {
	Name    string    `json:"pipeline"`
	Wrong   []Finding `json:"wrong"`
	Summary Summary   `json:"summary"`
	Wanted  uint64    `json:"notes_wanted"`
	Lag     uint64    `json:"lag"` // of all stages
	Version string    `json:"version"`
}

type pipelinesView struct {
	Pipelines []PipelineRow `json:"pipelines"`
}

// pipelines reads all of them at once, so that one whose NATS does not answer delays the
// page for no longer than its own would take.
func (m *Many) pipelines(r *http.Request) (any, error) {
	v := pipelinesView{make([]PipelineRow, len(m.names))}
	var reading sync.WaitGroup
	for i, name := range m.names {
		reading.Go(func() { v.Pipelines[i] = m.consoles[name].row(r.Context(), name) })
	}
	reading.Wait()
	slices.SortStableFunc(v.Pipelines, func(a, b PipelineRow) int { return min(1, len(b.Wrong)) - min(1, len(a.Wrong)) })
	return v, nil
}

func (c *Console) row(ctx context.Context, name string) PipelineRow {
	p, err := c.latest(ctx)
	v := overview(p, c.counter.summary(), err)
	row := PipelineRow{Name: name, Wrong: v.Wrong(), Summary: v.Summary, Wanted: v.Wanted(), Version: v.Version()}
	for _, s := range v.Stages {
		row.Lag += s.Lag
	}
	return row
}

// Wrongs names what is wrong.
func (r PipelineRow) Wrongs() string {
	var names []string
	for _, f := range r.Wrong {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}
