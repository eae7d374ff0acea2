package console

import (
	"cmp"
	"slices"
	"strings"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// underWay adds what processes say that they work on to what KV tells of.
func (s *Summary) underWay(workers []Worker) {
	var syncs []RunningSync
	passes := []contract.RunningPass{}
	for _, w := range workers {
		syncs = append(syncs, w.Syncs...)
		passes = append(passes, w.Passes...)
	}
	for _, stored := range s.Syncs {
		if !slices.ContainsFunc(syncs, func(told RunningSync) bool { return told.URL == stored.URL }) {
			syncs = append(syncs, stored)
		}
	}
	slices.SortFunc(syncs, earlier)
	slices.SortFunc(passes, func(a, b contract.RunningPass) int {
		return cmp.Or(cmp.Compare(a.Begun, b.Begun), cmp.Compare(a.Slice, b.Slice))
	})
	s.Running, s.Passing = len(syncs), len(passes)
	s.Syncs = append([]RunningSync{}, syncs[:min(len(syncs), mostSyncs)]...) // not null in JSON
	s.Passes = passes[:min(len(passes), mostSyncs)]
}

// earlier is the order of what is under way: those first that began first.
func earlier(a, b RunningSync) int {
	return cmp.Or(cmp.Compare(a.Begun, b.Begun), cmp.Compare(a.URL, b.URL))
}

// What runs beside the stages; processes can be listed by it.
const (
	partTail    = "tail"
	partGateway = "gateway"
	partIndex   = "index"
)

// runs says what a process runs.
func (w Worker) runs() []string {
	list := slices.Clone(w.Stages)
	reads := func(c contract.Condition) bool { return strings.HasPrefix(c.Name, contract.ConditionTail) }
	for _, part := range []struct {
		name string
		is   bool
	}{
		{partTail, slices.ContainsFunc(w.Conditions, reads)},
		{partGateway, w.Gateway != nil},
		{partIndex, w.Index != nil},
	} {
		if part.is && !slices.Contains(list, part.name) {
			list = append(list, part.name)
		}
	}
	return list
}

// Part is what runs beside the stages, in one process or in several.
type Part struct {
	Name string
	// Wrong says why one does not do what it is for, "" if all do; At names the relays that
	// it is at.
	Wrong   string
	At      []string
	Figures []Figure
}

// Figure is a number with its name, and the list behind it.
type Figure struct {
	What  string
	Count uint64
	Link  string
	Bad   bool // where there is one
}

// State is how a part does in a word.
func (p Part) State() string {
	if p.Wrong != "" {
		return healthFailing
	}
	return healthOK
}

// Parts are what runs beside the stages; of what runs nowhere there is none.
func (v Overview) Parts() (parts []Part) {
	for _, part := range []Part{v.tail(), v.gateway(), v.index()} {
		if len(part.Figures) > 0 {
			parts = append(parts, part)
		}
	}
	return parts
}

// figure is one of a part, of those processes that run it.
func (p *Part) figure(what string, n int64) {
	p.Figures = append(p.Figures, Figure{What: what, Count: uint64(max(0, n)), Link: "/processes?runs=" + p.Name})
}

// wrong is the first that does not hold of the conditions whose names begin so.
func (v Overview) wrong(begin string) string {
	for _, f := range v.conditions() {
		if strings.HasPrefix(f.Name, begin) && !f.OK {
			return f.Found
		}
	}
	return ""
}

func (v Overview) tail() Part {
	p := Part{Name: partTail, Wrong: v.wrong(contract.ConditionTail)}
	for _, f := range v.conditions() {
		if url, is := strings.CutPrefix(f.Name, contract.ConditionTail); is {
			p.At = append(p.At, url)
		}
	}
	if len(p.At) > 0 {
		p.figure("relays that are read", int64(len(p.At)))
	}
	return p
}

func (v Overview) gateway() Part {
	p, sum := Part{Name: partGateway, Wrong: v.wrong(contract.ConditionGateway)}, contract.Gateway{}
	for _, w := range v.All() {
		if g := w.Gateway; g != nil {
			if !slices.Contains(p.At, g.Relay) { // several may stand before one relay
				p.At = append(p.At, g.Relay)
			}
			sum = sum.Plus(*g)
		}
	}
	if len(p.At) > 0 {
		p.figure("connections", sum.Connections)
		p.figure("messages", sum.Messages)
		p.figure("REQs watched", sum.Watched)
		p.figure("events completed", sum.Completed)
		p.figure("REQs that waited in vain", sum.Vain)
		p.figure("ms that an EOSE waited", sum.Wait())
	}
	return p
}

func (v Overview) index() Part {
	p, sum := Part{Name: partIndex, Wrong: v.wrong(contract.ConditionIndex)}, contract.Index{}
	for _, w := range v.Workers {
		if is := w.Index; is != nil {
			p.At = append(p.At, is.URL)
			sum.Events += is.Events
			sum.Pulled += is.Pulled
			sum.Announced += is.Announced
		}
	}
	if len(p.At) > 0 {
		p.figure("events kept here", int64(sum.Events))
		p.figure("of them from other indexes", sum.Pulled)
		p.figure("DHT nodes that name it", int64(sum.Announced))
	}
	known := v.indexes().Standings
	for _, standing := range standingOrder {
		if n := known[standing]; n > 0 {
			p.Figures = append(p.Figures, Figure{
				What: "known, " + standing, Count: uint64(n), Link: "/indexes?standing=" + standing, Bad: standing == standingLied,
			})
		}
	}
	return p
}
