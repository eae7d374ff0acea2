package console

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// mostDrawn is how many relays the picture of the mesh has of their own; the rest are one.
	mostDrawn = 48
	// mostNamed is up to how many of them it has their names, too.
	mostNamed = 16
	// followed is for how long a relay counts as followed live after what came last.
	followed = 15 * time.Minute
)

// Mesh is the local relay among the others, those from which most came; its JSON is stable.
type Mesh struct {
	Nodes []MeshNode `json:"relays"`
	// Rest are the relays that Nodes does not have, and RestStored the events from them.
	Rest       int `json:"rest"`
	RestStored int `json:"rest_stored"`
	// Healths are counted over all relays.
	Healths []Choice `json:"healths"`
	// Home says what is wrong with the local relay, "" if nothing is.
	Home string `json:"home,omitempty"`
}

// MeshNode is a relay in the picture.
type MeshNode struct {
	URL    string `json:"url"`
	Health string `json:"health"`
	Stored int    `json:"stored"` // events that syncs have brought from it
	// Moving says that a sync with it runs, or that it is followed live.
	Moving bool `json:"moving"`
}

// mesh finds the relays from which most came.
func (f *facts) mesh(now int64) (m Mesh) {
	all := make([]MeshNode, 0, len(f.relays))
	healths := map[string]int{}
	for key, r := range f.relays {
		s := f.syncs[key]
		running := s.progress != nil && s.progress.Begun > now-int64(syncsLast.Seconds())
		n := MeshNode{
			URL: r.url, Health: f.health(key, now), Stored: s.stored, Moving: running || s.live > now-int64(followed.Seconds()),
		}
		healths[n.Health]++
		all = append(all, n)
	}
	inTrouble := func(n MeshNode) int { return slices.Index(healthOrder, n.Health) }
	slices.SortFunc(all, func(a, b MeshNode) int {
		return cmp.Or(cmp.Compare(b.Stored, a.Stored), cmp.Compare(inTrouble(a), inTrouble(b)), cmp.Compare(a.URL, b.URL))
	})
	for _, n := range all[min(mostDrawn, len(all)):] {
		m.Rest++
		m.RestStored += n.Stored
	}
	m.Nodes, m.Healths = all[:min(mostDrawn, len(all))], choices(healthOrder, healths)
	return m
}

func (c *Console) mesh(r *http.Request) (any, error) {
	c.counter.mu.Lock()
	m := c.counter.facts.mesh(time.Now().Unix())
	c.counter.mu.Unlock()
	if p, err := c.feed.now(r.Context()); err == nil {
		m.move(p.Workers)
		for _, f := range p.conditions() {
			if !f.OK && (f.Name == "embedded relay" || strings.HasPrefix(f.Name, "tail of ")) {
				m.Home = f.Name + ": " + f.Found
			}
		}
	}
	return m, nil
}

// move marks the relays with which processes say that a sync runs.
func (m Mesh) move(workers []Worker) {
	for _, w := range workers {
		for _, s := range w.Syncs {
			if i := slices.IndexFunc(m.Nodes, func(n MeshNode) bool { return n.URL == s.URL }); i >= 0 {
				m.Nodes[i].Moving = true
			}
		}
	}
}

// Most are the relays from which most came.
func (m Mesh) Most() []MeshNode { return m.Nodes[:min(len(m.Nodes), mostNamed)] }

// The picture is meshWidth by meshHeight, with the local relay in its middle.
const (
	meshWidth, meshHeight = 960, 520
	meshAcross, meshDown  = 350, 195 // radii of the ellipse on which the others are
)

// Drawn is where a relay stands in the picture, and how it looks.
type Drawn struct {
	MeshNode

	X, Y, R int // of its disc
	Line    int // width of its line
	// Name is written beside it, TextX to the side of the picture that Anchor says.
	Name, Anchor string
	TextX        int
	Says         string
}

// Picture places the relays around the local one: by health clockwise from the top, the more
// came from one the larger. Where each stands depends on no figure, so that it stays there.
func (m Mesh) Picture() []Drawn {
	nodes := slices.Clone(m.Nodes)
	slices.SortFunc(nodes, func(a, b MeshNode) int {
		return cmp.Or(cmp.Compare(slices.Index(healthOrder, b.Health), slices.Index(healthOrder, a.Health)), cmp.Compare(a.URL, b.URL))
	})
	most := 1
	for _, n := range nodes {
		most = max(most, n.Stored)
	}
	out := make([]Drawn, 0, len(nodes)+1)
	for _, n := range nodes {
		share := math.Sqrt(float64(n.Stored) / float64(most))
		d := Drawn{MeshNode: n, R: 5 + int(13*share), Line: 1 + int(5*share)}
		d.Says = fmt.Sprintf("%s: %s, %s events came from it", text(100, n.URL), n.Health, count(uint64(max(0, n.Stored))))
		if len(nodes) <= mostNamed {
			_, host, _ := strings.Cut(n.URL, "://")
			d.Name = text(28, host)
		}
		out = append(out, d)
	}
	if m.Rest > 0 {
		out = append(out, Drawn{
			MeshNode: MeshNode{Health: "rest"}, R: 20, Line: 1, Name: count(uint64(m.Rest)) + " more",
			Says: fmt.Sprintf("%s more relays, %s events came from them", count(uint64(m.Rest)), count(uint64(m.RestStored))),
		})
	}
	for i := range out {
		out[i].place(2*math.Pi*float64(i)/float64(len(out)), len(out) > mostNamed+1 && i%2 == 1)
	}
	return out
}

// place puts a relay at an angle, clockwise from the top, inside the others or among them.
func (d *Drawn) place(angle float64, inside bool) {
	far := 1.0
	if inside {
		far = 0.76
	}
	x, y := math.Sin(angle), -math.Cos(angle)
	d.X, d.Y = meshWidth/2+int(far*meshAcross*x), meshHeight/2+int(far*meshDown*y)
	d.Anchor, d.TextX = "start", d.X+d.R+5
	if x < -0.01 {
		d.Anchor, d.TextX = "end", d.X-d.R-5
	}
}
