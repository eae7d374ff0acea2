package syncing

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Survey is what looks for our authors' events at relays that their lists may not
// name: every one that lives is asked for everybody, again and again, most often where
// it yields. It only reads there.
type Survey struct {
	Surveys Store
	// On reports whether there is to be a survey; nil is never.
	On func(ctx context.Context) bool
	// Seeds are relays to ask that nobody may have named, and AllowPrivate says that those
	// which monitors name may be on the own machine and network.
	Seeds        []string
	AllowPrivate bool
	// Only are the relays that may be asked, nil is any.
	Only []string
	// Named returns the relays that the domain of a name (NIP-05) gives for an author; nil asks
	// no domains.
	Named func(ctx context.Context, name, pubkey string) ([]string, error)
	// DayBytes bounds what all slices cost a day, about; 0 is without bound.
	DayBytes int64
	// Observe is told what every look came to: the events that it brought, about how many
	// bytes it took, and why it failed, if it did. May be nil.
	Observe func(n int, bytes int64, err error)

	census census
	slots  hosts.Slots
}

// Store is bucket surveys.
type Store interface {
	Get(ctx context.Context, key string) (contract.Survey, bool, error)
	Update(ctx context.Context, key string, change func(old contract.Survey, found bool) (contract.Survey, bool)) (contract.Survey, error)
}

const (
	// surveyEvery is how often a slice has a pass over the relays that are due.
	surveyEvery = time.Hour
	// looking is how many relays are asked at a time in a pass.
	looking = 8
	// maxPass and maxLook bound a pass and a look.
	maxPass, maxLook = 40 * time.Minute, 5 * time.Minute
	// bestRelays is at how many relays authors are looked for at once who are new.
	bestRelays = 16
)

// StartSurvey schedules the survey of all authors, or ends it.
func (s *Stage) StartSurvey(ctx context.Context) error {
	return s.Publish(ctx, surveySchedule(contract.SurveyRoot, s.Survey.On != nil))
}

// surveySchedule makes a slice due at regular times, or not any more.
func surveySchedule(slice string, on bool) contract.Output {
	cron := contract.CronNever
	if on {
		cron, _ = contract.Cron("survey:"+slice, surveyEvery) // an hour is a period that there is
	}
	return contract.Output{
		Subject: contract.SurveyDueSubject(slice), Data: nostr.Encode(contract.SurveyDue{Slice: slice}), Cron: cron,
	}
}

// HandleSurvey takes survey.due.<slice>: ask the relays that are due for what the
// local relay lacks of the authors of a slice. A slice with too many is split.
func (s *Stage) HandleSurvey(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
	p, err := nostr.Decode[contract.SurveyDue](m.Data)
	switch {
	case err != nil:
		return nil, contract.Reject(err.Error())
	case p.Slice != m.Key() || !validSlice(p.Slice):
		return nil, contract.Reject("slice: does not belong to the key of the subject, or is none")
	case s.Survey.On == nil:
		return []contract.Output{surveySchedule(p.Slice, false)}, contract.Done()
	case !s.Survey.On(ctx):
		return nil, contract.Done() // the next one will tell
	}
	if ok, err := s.flights.acquire(ctx, "survey:"+p.Slice); err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	} else if !ok {
		return nil, contract.Done()
	}
	defer s.flights.release("survey:" + p.Slice)
	out, err := s.survey(ctx, p.Slice)
	if err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	}
	return out, contract.Done()
}

// survey makes a pass, or splits the slice.
func (s *Stage) survey(ctx context.Context, slice string) ([]contract.Output, error) {
	if err := s.Survey.census.take(ctx, s); err != nil {
		return nil, err
	}
	state, _, err := s.Survey.Surveys.Get(ctx, slice)
	if err != nil {
		return nil, err
	}
	authors, fresh, met, relays := s.Survey.census.of(slice, cmp.Or(state.Met, state.Passed))
	if state.Split || len(authors) > maxAuthors && depth(slice) < maxDepth {
		return s.split(ctx, slice, state)
	}
	authors = authors[:min(len(authors), maxAuthors)]
	filter, ok := s.surveyed(authors)
	if !ok {
		return nil, nil
	}
	now := s.Now().Unix()
	list := dueLooks(slice, state.Looks, relays, now)
	if !worthPass(state.Looks, list, now) {
		list = nil
	}
	if state.Passed == 0 {
		fresh = nil // everybody is
	}
	best := s.bestOf(state.Looks, relays, list, fresh, now)
	pass := &pass{stage: s, slice: slice, state: state, begun: now}
	ctx, cancel := context.WithTimeout(ctx, maxPass)
	defer cancel()
	if len(list) > 0 {
		err = pass.over(ctx, filter, list, true)
	}
	pass.met = met
	if few, ok := s.surveyed(fresh); err == nil && ok && len(best) > 0 {
		err = pass.over(ctx, few, best, false)
	}
	if err != nil {
		return nil, err
	}
	if err := pass.save(context.WithoutCancel(ctx), len(authors)); err != nil {
		return nil, err
	}
	s.askNames(ctx, authors, s.Now())
	return nil, nil
}

// surveyed is the rule for all relays, narrowed to authors; ok is false if there is no
// such rule, or nobody left.
func (s *Stage) surveyed(authors []string) (f nostr.Filter, ok bool) {
	for _, r := range s.Rules("") {
		if r.Direction&reconcile.Down != 0 {
			for _, f := range chunks(r.Filter, authors, 0) {
				return f, !f.Void()
			}
		}
	}
	return f, false
}

// bestOf returns the relays to ask at once for authors who are new: those that have
// yielded most, and of the others those for which most evidence speaks, without those
// that are left alone, and the relays of list, which are asked for everybody.
func (s *Stage) bestOf(looks map[string]contract.Look, relays, list []candidate, fresh []string, now int64) (best []candidate) {
	if len(fresh) == 0 {
		return nil
	}
	best = slices.DeleteFunc(slices.Clone(relays), func(c candidate) bool {
		return c.rests > now || slices.ContainsFunc(list, func(l candidate) bool { return l.key == c.key })
	})
	slices.SortStableFunc(best, func(a, b candidate) int {
		return cmp.Compare(float64(looks[b.key].All)+b.weight, float64(looks[a.key].All)+a.weight)
	})
	return best[:min(len(best), bestRelays)]
}

// split makes two slices of one, which begin with what it knows.
func (s *Stage) split(ctx context.Context, slice string, state contract.Survey) (out []contract.Output, err error) {
	for _, bit := range []string{"0", "1"} {
		if !state.Split {
			_, err := s.Survey.Surveys.Update(ctx, slice+bit, func(old contract.Survey, found bool) (contract.Survey, bool) {
				return contract.Survey{Looks: maps.Clone(state.Looks), Passed: state.Passed, Met: state.Met}, !found
			})
			if err != nil {
				return nil, err
			}
		}
		out = append(out, surveySchedule(slice+bit, true))
	}
	_, err = s.Survey.Surveys.Update(ctx, slice, func(old contract.Survey, _ bool) (contract.Survey, bool) {
		return contract.Survey{Split: true}, !old.Split
	})
	if slice != contract.SurveyRoot {
		out = append(out, surveySchedule(slice, false))
	}
	return out, err
}

// pass is one pass over relays that are due.
type pass struct {
	stage *Stage
	slice string
	begun int64

	mu    sync.Mutex
	state contract.Survey // as it was, and what this pass adds
	looks map[string]contract.Look
	spent int64
	met   int64 // see [contract.Survey]
	set   *surveySet
}

// over asks relays for what the local relay lacks of a filter, which is read once.
// whole says that the filter is that of the slice.
func (p *pass) over(ctx context.Context, filter nostr.Filter, list []candidate, whole bool) error {
	s := p.stage
	shown := s.running.pass(contract.RunningPass{Slice: p.slice, Begun: p.begun, Of: len(list)})
	defer shown.end()
	local, err := s.local(ctx)
	if err != nil {
		return err
	}
	filter.Since = max(filter.Since, p.state.Since)
	set, err := readSet(ctx, local, filter, maxSet, slices.ContainsFunc(list, func(c candidate) bool { return c.most > 0 }))
	if err != nil {
		return err
	}
	if whole {
		p.set = set
		p.state = stillKept(p.state, set.has, p.begun)
		set.filter.Since = max(set.filter.Since, p.state.Since)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(looking)
	for _, c := range list {
		if !p.affords() {
			p.later(whole)
			break
		}
		group.Go(func() error {
			defer shown.looked()
			return p.look(ctx, c, set, whole)
		})
	}
	return group.Wait()
}

// later notes that a relay is not asked now, for the whole slice or for those who are
// new. It stays due, and they stay new, but for gather at most: a relay that many slices
// ask is always busy.
func (p *pass) later(whole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !whole {
		p.met = min(p.met, p.begun-int64(gather/time.Second))
	}
}

// affords reports whether the share of the slice in the day's bytes is not used up.
func (p *pass) affords() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	spent, most := p.spent, p.stage.Survey.DayBytes>>depth(p.slice)
	if p.state.Day == today(p.begun) {
		spent += p.state.Bytes
	}
	return p.stage.Survey.DayBytes == 0 || spent < most
}

func today(now int64) int64 { return now / int64(day/time.Second) }

// done notes what a look has come to; nil if that says nothing of the next one.
func (p *pass) done(key string, l *look, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spent += bytes
	if l == nil {
		return
	}
	if p.looks == nil {
		p.looks = map[string]contract.Look{}
	}
	p.looks[key] = nextLook(p.state.Looks[key], *l, p.stage.Now().Unix(), rand.Float64())
}

// save writes down what the pass has come to.
func (p *pass) save(ctx context.Context, authors int) error {
	_, err := p.stage.Survey.Surveys.Update(ctx, p.slice, func(old contract.Survey, _ bool) (contract.Survey, bool) {
		next := old
		next.Looks = maps.Clone(old.Looks)
		if next.Looks == nil {
			next.Looks = map[string]contract.Look{}
		}
		maps.Copy(next.Looks, p.looks)
		keepLooks(next.Looks, p.begun)
		if next.Day != today(p.begun) {
			next.Day, next.Bytes = today(p.begun), 0
		}
		next.Bytes += p.spent
		next.Authors, next.Passed = authors, max(old.Passed, p.begun)
		next.Met = max(cmp.Or(old.Met, old.Passed), p.met)
		if p.set != nil {
			next.Brought, next.Since, next.SinceAt, next.Why = p.set.brought, p.state.Since, p.state.SinceAt, p.state.Why
		}
		return next, !old.Split
	})
	return err
}
