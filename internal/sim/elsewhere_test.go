package sim_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Every thirty-second seed, from the eighth on, has a survey, and relays that no list names.
const surveyed, surveySeeds = 8, 32

// crowd is how many authors without a list there are: with the others, more than the
// relay takes in a filter that takes mostInFilter.
const crowd, mostInFilter = 22, 20

// Relays of such a seed that are not what they seem, or not there.
const (
	inventor = "wss://inventor.example.net" // its sessions list ids that no event has
	quitter  = "wss://quitter.example.net"  // delivers at first, then only lists
	dead     = "wss://dead.example.net"
	refuser  = "wss://refuser.example.net" // wants no survey
	empty    = "wss://empty.example.net"   // until after the faults
)

// elsewhere is what no list names.
type elsewhere struct {
	serving  []string // relays that give what they have
	odd      []string // those that do not
	ours     map[string]bool
	quitters []nostr.Event // that the quitter has given
}

// beyond has our authors write at relays that no list of theirs names; of some there is no
// list at all.
func (p *scenario) beyond() {
	p.survey = func(context.Context) bool { return true }
	// What goes on all the time would be most of the work of half a day.
	p.syncEvery, p.resolveEvery, p.maxLive = time.Hour, time.Hour, 0
	p.ours = map[string]bool{}
	var writers []*schnorr.SecretKey
	for _, a := range p.authors {
		writers = append(writers, a.key)
		here := sign(p.T, a.key, nostr.Event{Kind: 1, Content: p.text()})
		p.post(home, here)
		p.later(p.moment(), "note at home", func() { p.sendEvent(here) })
	}
	for i := range crowd {
		key := user(p.T, fmt.Sprint("one of many ", i))
		writers = append(writers, key)
		put(p.world, contract.BucketAuthors, key.PublicKey(), contract.Author{FirstSeen: time.Now().Unix() - p.rng.Int64N(14*86400)})
	}
	for _, key := range writers {
		p.ours[key.PublicKey()] = true
	}
	some := func() *schnorr.SecretKey { // those with a list as often as the others
		if p.often(0.5) {
			return p.authors[p.rng.IntN(len(p.authors))].key
		}
		return writers[p.rng.IntN(len(writers))]
	}
	for i := range 3 {
		url := fmt.Sprintf("wss://beyond%d.example.net", i)
		p.serving, p.urls = append(p.serving, url), append(p.urls, url)
		p.beyondAt(url, some)
		plain, page := p.often(0.3), p.one(0, 0, 2, 5)
		p.relays.set(url, func(x *remote) { x.plain, x.page = plain, page })
	}
	p.relays.set(p.serving[1], func(x *remote) { x.most = mostInFilter })
	p.later(p.moment(), "prunes", func() {
		week := time.Now().Unix() - 7*86400
		p.relays.set(p.serving[2], func(x *remote) {
			x.events = slices.DeleteFunc(x.events, func(e nostr.Event) bool { return e.CreatedAt < week })
		})
	})
	if p.often(0.5) { // where nothing is when it is first asked
		p.serving, p.urls = append(p.serving, empty), append(p.urls, empty)
		p.lateAt(empty, some)
	}
	p.beyondAt(quitter, some)
	p.later(p.moment(), "quits", func() {
		p.quitters = p.relays.seen(quitter).events
		p.relays.set(quitter, func(x *remote) { x.lies = withholds })
		p.beyondAt(quitter, some)
	})
	p.relays.set(inventor, func(x *remote) { x.lies = invents })
	p.relays.set(dead, func(x *remote) { x.down = true })
	p.relays.set(refuser, func(x *remote) { x.fault = reconcile.NewRefusal(reconcile.ParseReason("blocked: no surveys")) })
	p.odd = []string{inventor, quitter, dead, refuser}
	for _, url := range slices.Concat(p.odd, p.serving) {
		p.later(p.moment(), "named", func() { p.discover(url) })
	}
	for range 1 + p.rng.IntN(3) { // beside those of the schedule
		p.later(p.moment(), "survey", func() {
			p.Publish(contract.SurveyDueSubject(contract.SurveyRoot), nostr.Encode(contract.SurveyDue{Slice: contract.SurveyRoot}))
		})
	}
}

// beyondAt has some write at a relay, in the weeks before and, now and then, after the faults.
func (p *scenario) beyondAt(url string, some func() *schnorr.SecretKey) {
	for range 2 + p.rng.IntN(3) {
		e := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix() - p.rng.Int64N(20*86400), Content: p.text()}
		p.post(url, p.special(&writer{key: some()}, e))
	}
	if p.often(0.4) {
		p.lateAt(url, some)
	}
}

// lateAt has somebody write at a relay after the faults.
func (p *scenario) lateAt(url string, some func() *schnorr.SecretKey) {
	p.later(faultyTime+2*time.Minute, "late note elsewhere", func() {
		p.post(url, sign(p.T, some(), nostr.Event{Kind: 1, Content: p.text()}))
	})
}

// invented are ids that no event has.
func invented() (items []negentropy.Item) {
	for i := range 20 {
		id := sha256.Sum256(fmt.Append(nil, "invented ", i))
		items = append(items, negentropy.Item{Timestamp: uint64(time.Now().Unix() - 3600 - int64(i)), ID: id})
	}
	return items
}

// The times of a survey, as in stage syncing: how often a slice has its turn, how long a
// relay that is due waits for others, and when one is asked again at which a look has
// brought nothing, or failed, which is spread by a quarter.
const (
	surveyEvery, gathers = time.Hour, 3 * time.Hour
	afterNothing         = 12 * time.Hour
	afterFailure         = 6*time.Hour + 90*time.Minute
)

// withinSurvey is how long after the faults the survey has found everything. What is new at a
// relay is found when it is asked again, in the turn after that. A relay that refuses the
// filter when it is asked again after a failure has three more turns for smaller ones.
func withinSurvey() time.Duration {
	return 3*faultyTime + max(afterNothing, afterFailure+3*surveyEvery) + gathers + surveyEvery
}

// found waits until the local relay has all that honest relays serve of our authors.
func (c *checker) found() {
	c.Helper()
	if c.survey == nil || c.Failed() {
		return
	}
	quiet := time.Now()
	for ; ; time.Sleep(10 * time.Minute) {
		problems := c.unfound()
		if len(problems) == 0 {
			c.injector.did("surveyed", "")
			break
		}
		if late := time.Since(c.injector.until); late > withinSurvey() {
			for _, p := range problems {
				c.Errorf("%s after the faults have ended: %s", late, p)
			}
			return
		}
	}
	for _, why := range append(c.unmannerly(quiet), c.overrated()...) {
		c.Error(why)
	}
}

// unfound lists the events of our authors that an honest relay serves and that the local
// relay lacks.
func (c *checker) unfound() (list []string) {
	have := c.relays.ids(home)
	for _, url := range c.serving {
		for _, e := range c.relays.seen(url).events {
			if _, there := slices.BinarySearch(have, e.ID); !there && c.ours[e.PubKey] && c.never[e.ID] == "" {
				list = append(list, fmt.Sprintf("no survey has found event %s of %.8s, which %s serves", e.ID, e.PubKey, url))
			}
		}
	}
	return list
}

// unmannerly lists the relays that are not there, or want no survey, and were asked too
// often since a time: six times a day, or once in 30 days.
func (c *checker) unmannerly(since time.Time) (list []string) {
	for url, most := range map[string]int{dead: 1 + int(time.Since(since)/(4*time.Hour)), refuser: 1} {
		looks, last := 0, time.Time{}
		for _, at := range c.relays.seen(url).times {
			if at.After(since) && at.Sub(last) > time.Minute { // a session and what follows it
				looks, last = looks+1, at
			}
		}
		if looks > most {
			list = append(list, fmt.Sprintf("%s was asked %d times in %s, want %d at most", url, looks, time.Since(since), most))
		}
	}
	return list
}

// overrated lists the relays that are said to have brought more than they have given.
func (c *checker) overrated() (list []string) {
	state := get[contract.Survey](c.world, contract.BucketSurveys, contract.SurveyRoot)
	for url, most := range map[string]int{inventor: 0, quitter: len(c.quitters), dead: 0, refuser: 0} {
		if n := state.Looks[nostr.RelayKey(url)].All; n > most {
			list = append(list, fmt.Sprintf("%s is said to have brought %d events, and gave %d", url, n, most))
		}
	}
	return list
}
