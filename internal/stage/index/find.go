package index

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// findSoon and findAgain are how long after a search of Mainline it may be searched again: where too few indexes are
	// known, and where those that are known have nothing.
	findSoon  = 20 * time.Second
	findAgain = 10 * time.Minute

	lookingUp     = 4  // infohashes at a time
	triedOfHash   = 8  // addresses of one infohash
	triedOfSearch = 64 // of all
	trying        = 16 // at a time
	tryTimeout    = 3 * time.Second
	// maxNamed is how many indexes one index may name.
	maxNamed = 32
)

// search is one search of Mainline for indexes. Whoever wants one at the same time waits for it.
type search struct {
	resolver *Resolver
	done     chan struct{} // closed when err is set
	err      error
	want     int    // verified indexes of different networks, then it ends
	cancel   func() // ends it

	mu       sync.Mutex
	tried    map[string]bool // networks
	named    int             // addresses that nodes named
	asked    int
	nodes    int             // that answered
	verified map[string]bool // networks of indexes
	last     error           // why one of those asked is no index
}

func (r *Resolver) mayFind(again time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.finding != nil || r.Now().Sub(r.found) >= again
}

// mayFindSince is mayFind for who has looked for indexes since begun: indexes that begin together find few others at first, so the
// waits double from findSoon to findAgain.
func (r *Resolver) mayFindSince(begun time.Time) bool {
	r.mu.Lock()
	again := min(max(r.found.Sub(begun), findSoon), findAgain)
	r.mu.Unlock()
	return r.mayFind(again)
}

// Find searches Mainline until so many indexes of different networks have shown that they are some, or all that was named has
// been tried. The error says what there was instead, if there was not one.
func (r *Resolver) Find(ctx context.Context, want int) error {
	r.mu.Lock()
	s := r.finding
	if s == nil && r.Now().Sub(r.found) < findSoon {
		r.mu.Unlock()
		return errors.New("the DHT was searched for some just now")
	}
	if s == nil {
		s = &search{resolver: r, done: make(chan struct{}), want: want, tried: map[string]bool{}, verified: map[string]bool{}}
		r.finding = s
		r.running.Go(func() { s.run(ctx) })
	}
	r.mu.Unlock()
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// searchTimeout bounds a search.
const searchTimeout = 30 * time.Second

func (s *search) run(ctx context.Context) {
	r := s.resolver
	ctx, s.cancel = r.detached(ctx, searchTimeout)
	defer s.cancel()
	s.tryKnown(ctx)
	err := s.lookUpAll(ctx)
	s.tryKnown(ctx) // whom those that were found have named
	s.mu.Lock()
	if len(s.verified) == 0 {
		s.err = s.why(err)
	}
	s.mu.Unlock()
	r.mu.Lock()
	r.finding, r.found = nil, r.Now()
	r.mu.Unlock()
	close(s.done)
}

// Meet reaches some indexes that others have named, and if look is set also those that Mainline names under one of the infohashes, of
// networks of which none is known.
func (r *Resolver) Meet(ctx context.Context, named int, look bool) {
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	s := &search{resolver: r, cancel: cancel, want: maxKnown, tried: map[string]bool{}, verified: map[string]bool{}}
	var unmet []Known
	for _, k := range r.Known() {
		switch {
		case k.Verified > 0:
			s.tried[k.Network] = true
		case !k.LeftAlone(r.Now()):
			unmet = append(unmet, k)
		}
	}
	var tries errgroup.Group
	shuffle(unmet, rand.IntN)
	for _, k := range unmet[:min(len(unmet), named)] {
		tries.Go(func() error { s.try(ctx, k.URL, k.Via); return nil })
	}
	if look && r.Network != nil {
		hashes := Infohashes(r.Now())
		_ = s.lookUp(ctx, hashes[rand.IntN(len(hashes))], &tries) // the next may do better
	}
	_ = tries.Wait() // they return none
}

// lookUpAll looks up the infohashes in random order, and tries the addresses that are named meanwhile.
func (s *search) lookUpAll(ctx context.Context) error {
	if s.resolver.Network == nil {
		return errors.New("there is no DHT node to find any by")
	}
	var lookUps, tries errgroup.Group
	lookUps.SetLimit(lookingUp)
	tries.SetLimit(trying)
	hashes := Infohashes(s.resolver.Now())
	rand.Shuffle(len(hashes), func(i, j int) { hashes[i], hashes[j] = hashes[j], hashes[i] })
	for _, hash := range hashes {
		lookUps.Go(func() error { return s.lookUp(ctx, hash, &tries) })
	}
	err := lookUps.Wait()
	_ = tries.Wait() // they return none
	return err
}

// why says why there is no index; mu is held.
func (s *search) why(lookUp error) error {
	switch {
	case s.nodes == 0 && lookUp != nil:
		return lookUp
	case s.named == 0:
		return fmt.Errorf("%d DHT nodes answered and named no list index", s.nodes)
	}
	return fmt.Errorf("%d DHT nodes named %d addresses, and none of the %d that were asked is a list index: they may all be of "+
		"somebody who hides the true ones; name an index by --index-known (the last one: %w)", s.nodes, s.named, s.asked, s.last)
}

// tryKnown tries the indexes that were named but never reached.
func (s *search) tryKnown(ctx context.Context) {
	var tries errgroup.Group
	tries.SetLimit(trying)
	for _, k := range s.resolver.Known() {
		if k.Verified == 0 && !k.LeftAlone(s.resolver.Now()) && ctx.Err() == nil {
			tries.Go(func() error { s.try(ctx, k.URL, k.Via); return nil })
		}
	}
	_ = tries.Wait() // they return none
}

func (s *search) lookUp(ctx context.Context, infohash [20]byte, tries *errgroup.Group) error {
	peers, nodes, err := s.resolver.Network.Peers(ctx, infohash)
	if ctx.Err() != nil {
		err = nil // enough have been found, or there was no more time
	}
	s.mu.Lock()
	s.nodes += nodes
	s.named += len(peers)
	var candidates []Candidate
	for _, at := range peers {
		candidates = append(candidates, Candidate{URL: addressURL(at), Network: NetworkOf(at)})
	}
	chosen := Sample(candidates, min(triedOfHash, triedOfSearch-s.asked), s.tried, rand.IntN)
	s.asked += len(chosen)
	s.mu.Unlock()
	for _, c := range chosen {
		tries.Go(func() error { s.try(ctx, c.URL, ViaDHT); return nil })
	}
	return err
}

// addressURL is how an address that was announced is dialled.
func addressURL(at netip.AddrPort) string {
	if at.Port() == 80 {
		return "ws://" + at.Addr().String()
	}
	return "ws://" + at.String()
}

// NetworkOf is what counts as one stranger's: an IPv4 /24 or IPv6 /48, of loopback each address with its port.
func NetworkOf(at netip.AddrPort) string {
	addr := at.Addr().Unmap().WithZone("")
	switch {
	case addr.IsLoopback():
		return at.String()
	case addr.Is4():
		return netip.PrefixFrom(addr, 24).Masked().String()
	}
	return netip.PrefixFrom(addr, 48).Masked().String()
}

// try asks an address whether it is an index, and one that is for those that it knows.
func (s *search) try(ctx context.Context, url, via string) {
	r := s.resolver
	network, err := r.verify(ctx, url, via)
	s.mu.Lock()
	if err != nil {
		s.last = fmt.Errorf("%s: %w", url, err)
	} else {
		s.verified[network] = true
	}
	enough := len(s.verified) >= s.want
	s.mu.Unlock()
	if enough {
		s.cancel()
		return
	}
	if err == nil {
		r.learn(ctx, url)
	}
}

// errSelf says that an address leads to our own index.
var errSelf = errors.New("it is this index itself")

// verify asks for the statement of an index and writes down how it stands.
func (r *Resolver) verify(ctx context.Context, url, via string) (network string, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	now := r.Now()
	statement, said, err := r.describe(ctx, url, now.Unix())
	if err == nil && said.URL == url && r.Verified != nil && passes(statement.Event, now.Unix()) && r.mayHaveKey(url, said.Key) {
		r.Verified(statement.Event)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k, known := r.known[url]
	switch {
	case errors.Is(err, errSelf):
		delete(r.known, url)
		return "", err
	case err != nil && known && ctx.Err() == nil:
		r.known[url] = k.after(health.Failed, now, rand.Float64())
		return "", err
	case err != nil:
		return "", err
	case !known:
		k = Known{URL: url, Via: via, FirstSeen: now.Unix()}
	}
	k.Key, k.Network, k.Verified = said.Key, statement.Network, now.Unix()
	r.known[url], r.changed = k.after(health.Answered, now, 0), true
	if _, known := r.known[said.URL]; !known { // it counts as one when it is reached there
		r.known[said.URL] = Known{URL: said.URL, Key: said.Key, Via: url, FirstSeen: now.Unix()}
	}
	return k.Network, nil
}

// mayHaveKey reports whether nothing else is known than that the key is an index's. One that has another key each time would
// have an announcement kept of each.
func (r *Resolver) mayHaveKey(url, key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.known[url]
	return k.Key == "" || k.Key == key
}

// describe asks for the statement of an index and reads it.
func (r *Resolver) describe(ctx context.Context, url string, now int64) (s Statement, said Announcement, err error) {
	if s, err = r.Relays.Describe(ctx, url); err == nil {
		said, err = ReadAnnouncement(s.Event, r.AllowPrivate, now)
	}
	if err == nil && r.Self != nil && r.Self(s) {
		err = errSelf
	}
	return s, said, err
}

// learn takes in the indexes that an index names, which are verified when they are needed.
func (r *Resolver) learn(ctx context.Context, from string) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	list, err := r.Relays.Ask(ctx, from, maxNamed, nostr.Filter{Kinds: []int{KindAnnouncement}, Limit: maxNamed})
	if err != nil {
		return // it has shown that it is one; how it answers is seen when it is asked for a list
	}
	now := r.Now().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range list {
		said, err := ReadAnnouncement(e, r.AllowPrivate, now)
		if _, known := r.known[said.URL]; err == nil && !known && len(r.known) < 2*maxKnown {
			r.known[said.URL] = Known{URL: said.URL, Key: said.Key, Via: from, FirstSeen: now}
			r.changed = true
		}
	}
}
