package syncing

import (
	"cmp"
	"slices"
	"sync"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// running are the syncs and the passes of the survey that are under way.
type running struct {
	mu     sync.Mutex // guards what they say of themselves, too
	syncs  map[*runningSync]struct{}
	passes map[*runningPass]struct{}
}

// Running lists the syncs and the passes of the survey that this process works on, those
// first that began first.
func (s *Stage) Running() (syncs []contract.RunningSync, passes []contract.RunningPass) {
	s.running.mu.Lock()
	defer s.running.mu.Unlock()
	for one := range s.running.syncs {
		syncs = append(syncs, one.is)
	}
	for one := range s.running.passes {
		passes = append(passes, one.is)
	}
	slices.SortFunc(syncs, func(a, b contract.RunningSync) int {
		return cmp.Or(cmp.Compare(a.Begun, b.Begun), cmp.Compare(a.URL, b.URL))
	})
	slices.SortFunc(passes, func(a, b contract.RunningPass) int {
		return cmp.Or(cmp.Compare(a.Begun, b.Begun), cmp.Compare(a.Slice, b.Slice))
	})
	return syncs, passes
}

// runningSync is a sync while it lasts.
type runningSync struct {
	all *running
	is  contract.RunningSync
}

// sync begins one, of which parts may be done already. end must follow.
func (r *running) sync(is contract.RunningSync) *runningSync {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.syncs == nil {
		r.syncs = map[*runningSync]struct{}{}
	}
	s := &runningSync{r, is}
	r.syncs[s] = struct{}{}
	return s
}

func (s *runningSync) end() {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	delete(s.all.syncs, s)
}

// part begins a part, or one anew that failed, and returns what its figures are told to.
func (s *runningSync) part(d reconcile.Direction) func(reconcile.Figures) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	before := s.is
	return func(f reconcile.Figures) {
		is := before
		if d&reconcile.Down != 0 {
			is.Missing += f.OnlyB
		}
		is.Stored += f.ToA
		is.Sent += f.ToB
		is.Left += f.Refused + f.Undelivered + f.HeldBack
		is.Passes += f.Passes
		is.Windows += f.Windows
		is.Messages += f.Messages
		is.Bytes += f.NegBytes + f.EventBytes
		s.all.mu.Lock()
		defer s.all.mu.Unlock()
		s.is = is
	}
}

// partDone counts a part that is complete.
func (s *runningSync) partDone() {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	s.is.Done++
}

// runningPass is a pass of the survey while it lasts.
type runningPass struct {
	all *running
	is  contract.RunningPass
}

// pass begins one. end must follow.
func (r *running) pass(is contract.RunningPass) *runningPass {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.passes == nil {
		r.passes = map[*runningPass]struct{}{}
	}
	p := &runningPass{r, is}
	r.passes[p] = struct{}{}
	return p
}

func (p *runningPass) end() {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	delete(p.all.passes, p)
}

// looked counts a relay that was asked.
func (p *runningPass) looked() {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	p.is.Looked++
}
