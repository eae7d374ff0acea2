package sim_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// scenario is what happens in a run besides the faults: who lives in the world,
// what they do and when, and what must be true in the end.
type scenario struct {
	*cluster
	rng *rand.Rand

	authors []*writer
	urls    []string // relays of the world that may hold what is wanted
	targets []string // of all that is signed for the DHT
	acts    []act
	serial  int

	attacked bool // by strangers, whose relays are asked for long

	expected
	elsewhere
}

// expected is what must be true when the faults have ended.
type expected struct {
	here    map[string]string     // events that the local relay must hold, and why
	never   map[string]string     // events that it must not
	kept    map[string]bep44.Item // by target: the newest item
	reasons map[string]int        // why there may be dead letters: by a part of the reason, how many must be
	asked   map[string]bool       // notes that an event refers to
}

// act is something that happens at a time.
type act struct {
	at   time.Duration
	name string
	do   func()
}

// writer is an author.
type writer struct {
	key  *schnorr.SecretKey
	says string   // by which means their relays become known
	old  []string // relays of earlier lists
	urls []string // relays of their last list
	last int64    // its version
	dht  string   // the DHT key that they named last, if any
}

// faultyTime is the longest time that things go wrong.
const faultyTime = 6 * time.Minute

func newScenario(y *cluster, seed uint64) *scenario {
	p := &scenario{cluster: y, rng: rand.New(rand.NewPCG(seed, 2)), expected: expected{
		here: map[string]string{}, never: map[string]string{}, kept: map[string]bep44.Item{}, reasons: map[string]int{}, asked: map[string]bool{},
	}}
	p.relaysOfTheWorld()
	p.local()
	for i := range 2 + p.rng.IntN(2) {
		p.author(i)
	}
	slices.Sort(p.targets)
	p.targets = slices.Compact(p.targets)
	p.missing()
	p.nonsense()
	if seed%surveySeeds == surveyed {
		p.beyond()
	}
	p.outages()
	if seed%8 == 3 { // such a seed costs five times another
		p.attack()
	}
	return p
}

func (p *scenario) one(of ...int) int     { return of[p.rng.IntN(len(of))] }
func (p *scenario) often(x float64) bool  { return p.rng.Float64() < x }
func (p *scenario) moment() time.Duration { return time.Duration(p.rng.Int64N(int64(faultyTime))) }
func (p *scenario) later(at time.Duration, name string, do func()) {
	p.acts = append(p.acts, act{at, name, do})
	slices.SortStableFunc(p.acts, func(a, b act) int { return cmp.Compare(a.at, b.at) })
}

func (p *scenario) text() string {
	p.serial++
	return fmt.Sprint("text ", p.serial)
}

func (p *scenario) relaysOfTheWorld() {
	for i := range 2 + p.rng.IntN(2) {
		url := relayURL(i)
		p.urls = append(p.urls, url)
		plain, page := p.often(0.3), p.one(0, 0, 2, 5)
		takes := time.Duration(p.one(0, 0, 200, 1500)) * time.Millisecond
		p.relays.set(url, func(x *remote) { x.plain, x.page, x.latency = plain, page, takes })
	}
	p.maxLive = p.one(0, 0, 1, 5)
	p.syncEvery = time.Duration(p.one(5, 5, 10)) * time.Minute
}

// local makes the local relay, which refuses some events for good.
func (p *scenario) local() {
	p.relays.set(home, func(x *remote) {
		x.refuse = func(e nostr.Event) string {
			if e.Tag("unwanted") != nil {
				return "blocked: not here"
			}
			return ""
		}
	})
}

func (p *scenario) some(from []string) (list []string) {
	for _, i := range p.rng.Perm(len(from))[:1+p.rng.IntN(len(from))] {
		list = append(list, from[i])
	}
	slices.Sort(list)
	return list
}

// post puts an event at a relay.
func (p *scenario) post(url string, e nostr.Event) {
	p.relays.set(url, func(x *remote) { x.events = append(x.events, e) })
}

// author makes an author, with a past and a future.
func (p *scenario) author(i int) {
	a := &writer{key: user(p.T, fmt.Sprint("author ", i)), says: []string{"dht", "nip65", "hint", "tag"}[p.rng.IntN(4)]}
	p.authors = append(p.authors, a)
	a.urls = p.some(p.urls)
	for _, url := range a.urls {
		for range 1 + p.rng.IntN(5) {
			e := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix() - p.rng.Int64N(86400), Content: p.text()}
			p.publish(url, p.special(a, e))
		}
		for range p.rng.IntN(3) {
			p.later(p.moment(), "note", func() {
				p.publish(url, sign(p.T, a.key, nostr.Event{Kind: 1, Content: p.text()}))
			})
		}
	}
	if p.often(0.3) { // afterwards, without faults
		// Each in a second of its own: what shares one beyond a page of a relay
		// without NIP-77 cannot be read by NIP-01.
		p.later(faultyTime+time.Minute+time.Duration(i)*time.Second, "late note", func() {
			p.publish(a.urls[0], sign(p.T, a.key, nostr.Event{Kind: 1, Content: p.text()}))
		})
	}
	p.announce(a)
	if a.says != "hint" && p.often(0.5) {
		p.impostor(a, user(p.T, fmt.Sprint("impostor ", i)))
	}
}

// strangersRelay is where no author writes, whatever is said in their names.
const strangersRelay = "wss://stranger.example.com"

// impostor has a stranger say under which DHT key an author's list is, and
// where they write. The list there has the highest seq that there can be.
func (p *scenario) impostor(a *writer, stranger *schnorr.SecretKey) {
	l := list(p.T, stranger, bep44.MaxSeq, strangersRelay)
	parent := sign(p.T, a.key, nostr.Event{Kind: 1, Content: p.text()})
	p.post(home, parent)
	reply := nostr.Event{Kind: 1, Content: p.text(), Tags: []nostr.Tag{
		{"e", parent.ID}, {"p", a.key.PublicKey()}, {"dht_key", hexOf(l.Item.Key[:])},
	}}
	p.later(p.moment(), "impostor", func() {
		p.mesh.owner(l.Item)
		p.sendEvent(sign(p.T, stranger, reply))
	})
	for _, at := range []time.Duration{0, faultyTime + 2*time.Minute} {
		p.later(at, "impostor's hint", func() { p.discover(strangersRelay, a.key) })
	}
}

// publish puts an event at a relay where its author writes, so that it must
// come to the local relay, unless some rule forbids that.
func (p *scenario) publish(url string, e nostr.Event) {
	p.post(url, e)
	if p.never[e.ID] == "" {
		p.here[e.ID] = "on " + url
	}
}

// special signs an event, now and then one that must not be copied.
func (p *scenario) special(a *writer, e nostr.Event) nostr.Event {
	why := ""
	switch p.rng.IntN(12) {
	case 0:
		e.Tags, why = append(e.Tags, nostr.Tag{"-"}), "protected"
	case 1:
		e.Tags, why = append(e.Tags, nostr.Tag{"expiration", strconv.FormatInt(time.Now().Unix()-3600, 10)}), "expired"
	case 2:
		e.Tags, why = append(e.Tags, nostr.Tag{"unwanted"}), "refused"
	case 3:
		why = "deleted"
	case 4:
		e.Kind, why = 20001, "ephemeral"
	}
	e = sign(p.T, a.key, e)
	if why != "" {
		p.never[e.ID] = why
	}
	if why == "deleted" {
		p.post(home, sign(p.T, a.key, nostr.Event{Kind: 5, Tags: []nostr.Tag{{"e", e.ID}}}))
	}
	return e
}

// announce has an author's relays made known, more than once.
func (p *scenario) announce(a *writer) {
	base := time.Now().Unix()
	versions := 1 + p.rng.IntN(3)
	a.last = base + int64(versions)
	former, moves := user(p.T, "former key of "+a.key.PublicKey()), p.often(0.5)
	at, apart := time.Duration(p.rng.Int64N(int64(time.Minute))), faultyTime/4
	if p.often(0.4) { // all at about the same time
		apart = time.Second
	}
	for v := 1; v <= versions; v++ {
		urls := a.urls
		if v < versions {
			urls = p.some(p.urls)
			a.old = append(a.old, urls...)
		}
		when := at
		if p.often(0.3) { // in any order
			when = p.moment()
		}
		signer, seq := a.key, base+int64(v)
		if moves && v < versions && (a.says == "tag" || p.often(0.6)) {
			signer, seq = former, seq+1<<40 // no lower seq of the key that comes after it is any older
		}
		l := listOf(p.T, a.key, signer, base+int64(v), seq, urls...)
		p.targets = append(p.targets, stage.TargetHex(l.Item))
		p.say(a, when, base+int64(v), l, urls)
		if p.often(0.3) {
			p.say(a, p.moment(), base+int64(v), l, urls)
		}
		at += time.Duration(p.rng.Int64N(int64(apart)))
	}
	if a.says == "dht" || a.says == "tag" {
		l := list(p.T, a.key, 1)
		a.dht = hexOf(l.Item.Key[:])
	}
	if a.says == "dht" && p.often(0.3) {
		p.later(p.moment(), "other device", func() { p.other(list(p.T, a.key, base+100, a.urls...)) })
	}
}

// say has an author tell a version of their list, of which l is the form for the
// DHT.
func (p *scenario) say(a *writer, at time.Duration, version int64, l run.SignedList, urls []string) {
	switch a.says {
	case "dht":
		p.later(at, "list", func() { p.accepts(l); p.sendEvent(l.DHT) })
	case "nip65":
		p.later(at, "nip65", func() { p.sendEvent(nip65(p.T, a.key, version, urls...)) })
	case "hint":
		p.later(at, "hint", func() {
			for _, url := range a.urls {
				p.discover(url, a.key)
			}
		})
	case "tag":
		e := nostr.Event{Kind: 1, CreatedAt: version, Content: p.text(), Tags: []nostr.Tag{{"dht_key", hexOf(l.Item.Key[:])}}}
		p.later(at, "tag", func() {
			p.mesh.owner(l.Item)
			p.sendEvent(sign(p.T, a.key, e))
		})
	}
}

// accepts notes that an item must be on the DHT, unless a newer one must.
func (p *scenario) accepts(l run.SignedList) {
	target := stage.TargetHex(l.Item)
	p.reasons["seq: "] += 0 // whichever is handled last
	if l.Item.Seq > p.kept[target].Seq {
		p.kept[target] = l.Item
	}
}

// other puts an item by another device of its owner, of which nobody is told.
func (p *scenario) other(l run.SignedList) {
	p.reasons["seq: "] += 0
	p.mesh.owner(l.Item)
	p.kept[stage.TargetHex(l.Item)] = l.Item
}

// missing has notes refer to others that are elsewhere.
func (p *scenario) missing() {
	for i := range p.rng.IntN(4) {
		stranger := user(p.T, fmt.Sprint("stranger ", i))
		a := p.authors[p.rng.IntN(len(p.authors))]
		url := p.urls[p.rng.IntN(len(p.urls))]
		lacking := sign(p.T, stranger, nostr.Event{Kind: 1, Content: p.text(), CreatedAt: time.Now().Unix() - 100})
		p.post(url, lacking)
		refer := func() {
			p.here[lacking.ID] = "referred to, and on " + url
			e := sign(p.T, a.key, nostr.Event{Kind: 1, Content: p.text(), Tags: []nostr.Tag{{"e", lacking.ID, url}}})
			p.post(home, e)
			p.sendEvent(e)
			p.asked[lacking.ID] = true
		}
		p.later(p.moment(), "reply", refer)
		// Who looks for a note while nothing works gives it up for a time. It
		// is looked for again as soon as anything refers to it after that.
		p.later(faultyTime+p.lostFor+clockError+time.Minute, "another reply", refer)
	}
}

// nonsense sends what can never work.
func (p *scenario) nonsense() {
	for range p.rng.IntN(3) {
		p.reasons["JSON"]++
		p.later(p.moment(), "nonsense", func() { p.Publish(events.SubjectEventReceived, []byte("{"+p.text())) })
	}
	if p.often(0.3) {
		e := sign(p.T, p.authors[0].key, nostr.Event{Kind: 1, Content: p.text()})
		e.Sig = strings.Repeat("ab", 64)
		p.reasons["signature"]++
		p.never[e.ID] = "forged"
		p.later(p.moment(), "forgery", func() { p.sendEvent(e) })
	}
}

// outages are what is down for a while, or started again.
func (p *scenario) outages() {
	for _, url := range append([]string{home}, p.urls...) {
		if p.often(0.2) {
			from := p.moment()
			p.later(from, "down: "+url, func() { p.relays.set(url, func(x *remote) { x.down = true }) })
			p.later(min(from+p.moment()/3, faultyTime), "up: "+url, func() { p.relays.set(url, func(x *remote) { x.down = false }) })
		}
	}
	for range p.one(0, 0, 1) {
		down := time.Duration(p.rng.Int64N(int64(20 * time.Second)))
		p.later(p.moment(), "server", func() { p.restartServer(down) })
	}
	for range p.one(0, 1, 2) {
		i := p.rng.IntN(8)
		p.later(p.moment(), "cycle", func() {
			select {
			case p.procs[i%len(p.procs)].cycle <- struct{}{}:
			default: // it is just being started
			}
		})
	}
}
