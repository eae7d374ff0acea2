package sim_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What a seed with an attack has: lists of keys that nobody knows, each of relays
// that are silent, and notes that nobody has made with hints to these.
const (
	hostileKeys  = 12
	hostileURLs  = 20 // a list
	hostileHosts = 10 // beside the one that has most of the relays
	hostileNotes = 60
)

// mirrored is how many events one of some mirrors has, and the others lack.
const mirrored = 12

// beginsAfter is how long after the faults the attack begins, and arrivesWithin how
// long an honest author's event may take meanwhile: the sync of a silent relay ends
// after a minute, and then the turn has come round.
const (
	beginsAfter   = 2 * time.Minute
	arrivesWithin = 2 * time.Minute
)

// hostileURL is the j-th relay in the list of the i-th key: most are paths and names
// of one host, some of others.
func hostileURL(i, j int) string {
	n := hostileURLs*i + j
	if j < hostileURLs*3/4 {
		return silent(n)
	}
	return fmt.Sprintf("wss://relay%d.hostile%d.test", n, n%hostileHosts)
}

// attack has strangers do what costs them next to nothing. An author whom nobody
// knows either must not notice.
func (p *scenario) attack() {
	p.attacked = true
	for i := range hostileKeys {
		var urls []string
		for j := range hostileURLs {
			urls = append(urls, hostileURL(i, j))
			p.relays.set(hostileURL(i, j), func(x *remote) { x.latency = 24 * time.Hour })
		}
		key := user(p.T, fmt.Sprint("mallory ", i))
		p.later(faultyTime+beginsAfter, "hostile list", func() { p.sendEvent(nip65(p.T, key, time.Now().Unix(), urls...)) })
	}
	note := nostr.Event{Kind: 1, Content: p.text()}
	for i := range hostileNotes {
		id := sha256.Sum256(fmt.Append(nil, "hostile note ", i))
		note.Tags = append(note.Tags, nostr.Tag{"e", hexOf(id[:]), hostileURL(i%hostileKeys, i%hostileURLs)})
	}
	note = sign(p.T, user(p.T, "mallory"), note)
	p.later(faultyTime+beginsAfter, "hostile hints", func() { p.sendEvent(note) })
	p.honest()
	p.mirrors()
}

// honest has an author and a note that are as little known come some seconds later.
// Two of the author's relays lie.
func (p *scenario) honest() {
	const lists, hints = "wss://relay.honest.test", "wss://relay.honest-too.test"
	const hider, withholder = "wss://relay.liar.test", "wss://relay.liar-too.test"
	author, stranger := user(p.T, "honest author"), user(p.T, "honest stranger")
	listed := sign(p.T, author, nostr.Event{Kind: 1, Content: p.text()})
	old := time.Now().Add(-time.Hour).Unix() // what has just come proves nothing about a relay
	hidden := sign(p.T, author, nostr.Event{Kind: 1, Content: p.text(), CreatedAt: old})
	hinted := sign(p.T, stranger, nostr.Event{Kind: 1, Content: p.text()})
	p.post(lists, listed)
	p.post(withholder, listed)
	p.post(hider, hidden)
	p.relays.set(hider, func(x *remote) { x.lies = hides })
	p.relays.set(withholder, func(x *remote) { x.lies = withholds })
	p.post(hints, hinted)
	refers := sign(p.T, author, nostr.Event{Kind: 1, Content: p.text(), Tags: []nostr.Tag{{"e", hinted.ID, hints}}})
	begins := faultyTime + beginsAfter + 10*time.Second
	p.later(begins, "honest list", func() { p.sendEvent(nip65(p.T, author, time.Now().Unix(), withholder, lists, hider)) })
	p.later(begins, "honest hint", func() { p.sendEvent(refers) })
	p.later(begins+arrivesWithin, "arrived", func() {
		for what, e := range map[string]nostr.Event{
			"from a relay of its author's list": listed, "that was hinted at": hinted, "that a relay hides in sessions": hidden,
		} {
			if !p.has(e) {
				p.Errorf("an honest event %s has not arrived within %s of an attack", what, arrivesWithin)
			}
		}
		p.families()
	})
}

// mirrors are three relays that are kept equal, of which the first keeps nothing of what
// it says OK to: what is at the second must come to the third all the same, and the
// first is given little of it.
func (p *scenario) mirrors() {
	group := []string{"wss://mirror0.test", "wss://mirror1.test", "wss://mirror2.test"}
	p.ruled = map[string][]syncing.Rule{}
	for _, url := range group {
		p.ruled[url] = []syncing.Rule{{Direction: reconcile.Both, Group: group, Named: true}}
	}
	p.relays.set(group[0], func(x *remote) { x.lies = keepsNothing })
	old, has := time.Now().Add(-time.Hour).Unix(), map[string]bool{}
	for i := range mirrored {
		e := sign(p.T, user(p.T, "mirrored author"), nostr.Event{Kind: 1, Content: p.text(), CreatedAt: old - int64(i)})
		p.post(group[1], e)
		has[e.ID] = true
	}
	begins := faultyTime + beginsAfter
	p.later(begins, "mirrors", func() {
		for _, url := range group {
			p.discover(url)
		}
	})
	written := 0
	p.later(begins+p.syncEvery+arrivesWithin, "mirrored", func() {
		missing := maps.Clone(has)
		for _, id := range p.relays.ids(group[2]) {
			delete(missing, id)
		}
		if len(missing) > 0 {
			p.Errorf("an honest event has not come to a mirror of its relay: %d of %d", len(missing), len(has))
		}
		written = p.relays.seen(group[0]).written
	})
	p.later(begins+3*p.syncEvery+arrivesWithin, "mirrored again", func() {
		if n := p.relays.seen(group[0]).written; written > 2*mirrored || n > written {
			p.Errorf("%d events were given to a relay that keeps nothing, and later %d more", written, n-written)
		}
	})
}

// families checks how many relays of a host are kept. Workers count by themselves.
func (p *scenario) families() {
	kept, workers := map[string]int{}, 0
	for _, x := range p.procs {
		if x.stage == contract.StageSyncWorker || x.stage == contract.StageDHTWorker {
			workers++
		}
	}
	for _, key := range keys[contract.Relay](p.world, contract.BucketRelays, "*") {
		kept[hosts.Of(get[contract.Relay](p.world, contract.BucketRelays, key).URL)]++
	}
	for host, n := range kept {
		if n > hosts.MaxURLs*workers {
			p.Errorf("%d relays of host %s are kept", n, host)
		}
	}
}
