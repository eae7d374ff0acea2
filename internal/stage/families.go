package stage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Families bound the relays of each host that bucket relays keeps: paths and
// subdomains cost nothing to make. The zero value is ready. Replicas count by
// themselves, from what the bucket holds when they first look.
type Families struct {
	begin  sync.Once
	turn   chan struct{}               // held by one at a time; waiting for it ends with the context, as KV may take long
	loaded int64                       // when they were counted, Unix seconds
	of     map[string]map[string]int64 // when they were admitted, by host and relay key; 0 is before
	full   map[string]int64            // until when a host has no room, Unix seconds
}

// countedFor is after how long relays are counted anew: hosts cost nothing to name, and
// what the bucket forgets is to be forgotten here.
const countedFor = 24 * time.Hour

// fullFor is for how long no room is looked for where there was none:
// looking reads every relay of the host.
const fullFor = time.Minute

// Buckets say which relays there are, and who writes to them.
type Buckets struct {
	Relays  Store[contract.Relay]
	Links   Store[contract.Link]
	Authors Store[contract.Author]
}

// Admit reports whether a relay that is not in the bucket may be put there. If its
// host has as many as it may, one that has failed and never answered makes room, unless
// an author writes there who has been here for long. Who writes to a relay that is left
// out, or makes room, is linked to it no more: nothing else would ever end these links.
func (f *Families) Admit(ctx context.Context, b Buckets, url string, now int64) (kept bool, err error) {
	kept, out, err := f.admit(ctx, b, url, now)
	if err == nil && out != "" {
		err = Unlink(ctx, b.Links, out)
	}
	return kept, err
}

// admit counts a relay, and returns the key of the one that is left out: itself, or
// one that has made room.
func (f *Families) admit(ctx context.Context, b Buckets, url string, now int64) (kept bool, out string, err error) {
	f.begin.Do(func() { f.turn = make(chan struct{}, 1) })
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return false, "", context.Cause(ctx)
	}
	if err := f.load(ctx, b.Relays, now); err != nil {
		return false, "", err
	}
	host, key := hosts.Of(url), nostr.RelayKey(url)
	family := f.of[host]
	if _, in := family[key]; in {
		return true, "", nil
	}
	if len(family) >= hosts.MaxURLs {
		if now < contract.Believe(f.full[host], now, fullFor) {
			return false, key, nil
		}
		made, gone, err := f.makeRoom(ctx, b, host, now)
		if err != nil {
			return false, "", err
		}
		if !made {
			f.full[host] = now + int64(fullFor/time.Second)
			return false, key, nil
		}
		out = gone
	}
	f.add(host, key, now)
	return true, out, nil
}

func (f *Families) add(host, key string, at int64) {
	if f.of[host] == nil {
		f.of[host] = map[string]int64{}
	}
	f.of[host][key] = at
}

func (f *Families) load(ctx context.Context, relays Store[contract.Relay], now int64) error {
	if f.of != nil && contract.Believe(f.loaded, now, 0) > now-int64(countedFor/time.Second) {
		return nil
	}
	anew := Families{of: map[string]map[string]int64{}, full: map[string]int64{}}
	err := relays.Each(ctx, "*", func(key string, r contract.Relay) error {
		if !r.Proven(now) {
			anew.add(hosts.Of(r.URL), key, 0)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("couldn't count the relays of each host: %w", err)
	}
	for host, family := range f.of {
		for key, at := range family {
			if _, in := anew.of[host][key]; !in && onItsWay(at, now) {
				anew.add(host, key, at)
			}
		}
	}
	f.of, f.full, f.loaded = anew.of, anew.full, now
	return nil
}

// onItsWay reports whether a relay that was admitted at a time may not be in the bucket yet.
func onItsWay(at, now int64) bool {
	return contract.Believe(at, now, 0) > now-int64(fullFor/time.Second)
}

// makeRoom takes a relay of the host out that counts no more, or whose place is better
// used; gone is the key of the latter.
func (f *Families) makeRoom(ctx context.Context, b Buckets, host string, now int64) (made bool, gone string, err error) {
	useless := func(r contract.Relay) bool {
		return !r.HasAnswered() && r.Failures+r.ProbeFailures > 0 && !r.Proven(now)
	}
	for key, at := range f.of[host] {
		r, found, err := b.Relays.Get(ctx, key)
		if err != nil {
			return false, "", err
		}
		missing := !found && !onItsWay(at, now)
		if found && useless(r) {
			if wanted, err := b.wanted(ctx, key, now); err != nil {
				return false, "", err
			} else if wanted {
				continue
			}
			removed, err := b.Relays.Remove(ctx, key, useless)
			if err != nil {
				return false, "", err
			}
			if !removed { // it has answered since
				continue
			}
			gone, missing = key, true
		}
		if missing || r.Proven(now) {
			delete(f.of[host], key)
			return true, gone, nil
		}
	}
	return false, "", nil
}

var errWanted = errors.New("an author who has been here for long writes there")

// wanted reports whether an author writes to a relay who has been here for long: keys
// that were made today take no place from them, though the relay may be down.
func (b Buckets) wanted(ctx context.Context, relayKey string, now int64) (bool, error) {
	pattern := contract.LinkKey(relayKey, "*")
	err := b.Links.Each(ctx, pattern, func(key string, _ contract.Link) error {
		author, _, err := b.Authors.Get(ctx, key[len(pattern)-1:])
		if err == nil && author.Known(now) {
			err = errWanted
		}
		return err
	})
	if errors.Is(err, errWanted) {
		return true, nil
	}
	return false, err
}
