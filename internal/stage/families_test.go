package stage

import (
	"context"
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// relays is bucket relays in memory, which counts how often it is read.
type relays struct {
	values map[string]contract.Relay
	reads  int
}

func (r *relays) Get(_ context.Context, key string) (contract.Relay, bool, error) {
	r.reads++
	v, ok := r.values[key]
	return v, ok, nil
}

func (r *relays) Update(context.Context, string, func(contract.Relay, bool) (contract.Relay, bool)) (v contract.Relay, err error) {
	panic("not used")
}

func (r *relays) Remove(_ context.Context, key string, may func(contract.Relay) bool) (bool, error) {
	if !may(r.values[key]) {
		return false, nil
	}
	delete(r.values, key)
	return true, nil
}

func (r *relays) Each(_ context.Context, _ string, f func(string, contract.Relay) error) error {
	for key, v := range r.values {
		if err := f(key, v); err != nil {
			return err
		}
	}
	return nil
}

// authors is bucket authors in memory.
type authors map[string]contract.Author

func (a authors) Get(_ context.Context, key string) (contract.Author, bool, error) {
	v, found := a[key]
	return v, found, nil
}

func (authors) Update(context.Context, string, func(contract.Author, bool) (contract.Author, bool)) (a contract.Author, err error) {
	panic("not used")
}

func (authors) Remove(context.Context, string, func(contract.Author) bool) (bool, error) {
	panic("not used")
}

func (authors) Each(context.Context, string, func(string, contract.Author) error) error {
	panic("not used")
}

// links is bucket links in memory, of which the keys count.
type links map[string]contract.Link

func (links) Get(context.Context, string) (l contract.Link, found bool, err error) { panic("not used") }

func (links) Update(context.Context, string, func(contract.Link, bool) (contract.Link, bool)) (l contract.Link, err error) {
	panic("not used")
}

func (l links) Remove(_ context.Context, key string, may func(contract.Link) bool) (bool, error) {
	found := may(l[key])
	delete(l, key)
	return found, nil
}

func (l links) Each(_ context.Context, pattern string, f func(string, contract.Link) error) error {
	for key, v := range l {
		if is, _ := path.Match(pattern, key); !is {
			continue
		}
		if err := f(key, v); err != nil {
			return err
		}
	}
	return nil
}

// Nobody is linked to a relay that is left out, or has made room for another: nothing
// else would end that. One that was just admitted, and is not in the bucket yet, makes none.
func TestWhoWritesToARelayWithoutRoomIsUnlinked(t *testing.T) {
	kept, linked, known := &relays{values: map[string]contract.Relay{}}, links{}, authors{}
	var f Families
	now := time.Now().Unix()
	url := func(i int) string { return fmt.Sprint("wss://relay.hostile.test/", i) }
	admit := func(i int) bool {
		t.Helper()
		for _, keyOf := range []func(string, string) string{contract.LinkKey, contract.ReaderKey} {
			linked[keyOf(nostr.RelayKey(url(i)), "author")] = contract.Link{URL: url(i)}
		}
		ok, err := f.Admit(t.Context(), Buckets{kept, linked, known}, url(i), now)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	count := func(when string, want int) {
		t.Helper()
		if len(linked) != 2*want {
			t.Errorf("%s there are links to %d relays, want %d", when, len(linked)/2, want)
		}
	}
	for i := range hosts.MaxURLs {
		admit(i)
	}
	if admit(100) {
		t.Error("relays that are on their way into the bucket make room")
	}
	count("after one was left out", hosts.MaxURLs)
	for i := range hosts.MaxURLs {
		kept.values[nostr.RelayKey(url(i))] = contract.Relay{URL: url(i), Answered: now}
	}
	kept.values[nostr.RelayKey(url(5))] = contract.Relay{URL: url(5), Failures: 1}
	known["author"] = contract.Author{FirstSeen: now - int64(contract.LongHere/time.Second) - 100}
	if now += 61; admit(101) {
		t.Error("a relay makes room to which an author writes who has been here for long")
	}
	delete(known, "author")
	if now += 61; !admit(101) {
		t.Error("a relay that has failed and never answered makes no room")
	}
	if _, still := linked[contract.LinkKey(nostr.RelayKey(url(5)), "author")]; still {
		t.Error("there is a link to the relay that has made room")
	}
	count("after one has made room", hosts.MaxURLs)
}

// A flood of paths of a host that has as many relays as it may costs a look at all
// of these once a minute, and room that is made later is found.
func TestAFullHostIsLookedAtOnceAMinute(t *testing.T) {
	kept := &relays{values: map[string]contract.Relay{}}
	var f Families
	now := time.Now().Unix()
	url := func(i int) string { return fmt.Sprint("wss://relay.hostile.test/", i) }
	admit := func(i int) bool {
		t.Helper()
		ok, err := f.Admit(t.Context(), Buckets{kept, links{}, authors{}}, url(i), now)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			kept.values[nostr.RelayKey(url(i))] = contract.Relay{URL: url(i), Answered: now}
		}
		return ok
	}
	admitted := 0
	for i := range 2000 {
		if admit(i) {
			admitted++
		}
	}
	if admitted != hosts.MaxURLs || kept.reads > 2*hosts.MaxURLs {
		t.Errorf("%d of 2000 paths are kept, by %d reads", admitted, kept.reads)
	}
	kept.values[nostr.RelayKey(url(0))] = contract.Relay{URL: url(0), ProbeFailures: 3}
	if now += 61; !admit(3000) {
		t.Error("a relay that never answered makes no room")
	}
	admit(3001) // there is none again
	if now -= 365 * 24 * 3600; admit(3002) {
		t.Error("there is room for one too many")
	}
	before := kept.reads
	if now -= 365 * 24 * 3600; admit(3003) || kept.reads == before {
		t.Error("after a clock was ahead the host counts as full unseen")
	}
}

// What is held of hosts, which cost nothing to name, goes a day after the bucket has
// forgotten their relays, but for what has just been admitted.
func TestHostsThatTheBucketHasForgottenAreNotHeld(t *testing.T) {
	kept := &relays{values: map[string]contract.Relay{}}
	var f Families
	now := time.Now().Unix()
	admit := func(url string) {
		t.Helper()
		if ok, err := f.Admit(t.Context(), Buckets{kept, links{}, authors{}}, url, now); err != nil || !ok {
			t.Fatalf("%s: %v, %v", url, ok, err)
		}
	}
	const known, late = "wss://relay.known.test", "wss://relay.late.test"
	kept.values[nostr.RelayKey(known)] = contract.Relay{URL: known}
	for i := range 1000 {
		admit(fmt.Sprintf("wss://relay.made-up%d.test", i))
	}
	if len(f.of) != 1001 {
		t.Errorf("%d hosts are held, want all", len(f.of))
	}
	now += 24*3600 - 1
	admit(late)
	now++
	admit(known)
	if len(f.of) != 2 || f.of[hosts.Of(late)] == nil {
		t.Errorf("a day later %d hosts are held, want the one of the bucket and the last", len(f.of))
	}
}
