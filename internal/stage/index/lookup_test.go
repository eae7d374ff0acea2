package index

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What an index lacks it looks up once for all who ask, keeps with what ended it, and does not look up again soon.
func TestLookUpOfWhatAnIndexLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		alice := list(key(1), start-100, "alice's")
		bobs := list(key(2), start-100, "bob's")
		ended := nostr.Event{Kind: 5, PubKey: key(2), CreatedAt: start - 50, Tags: []nostr.Tag{{"a", "10002:" + key(2) + ":"}}}
		ended.ID = ended.Hash()
		w.add(1, &fakeIndex{lists: []nostr.Event{alice, bobs, ended}}, 0)
		r := w.resolver(t)
		var mu sync.Mutex
		var kept []string
		l := &LookUp{Resolver: r, Kinds: []int{0, 10002}, Now: r.Now, Log: slog.New(slog.DiscardHandler), Keep: func(e nostr.Event) {
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, e.ID)
		}}
		ask := func(wait time.Duration, authors ...int) {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			var lacking []nostr.Address
			for _, a := range authors {
				lacking = append(lacking, nostr.Address{Kind: 10002, PubKey: key(a)}, nostr.Address{Kind: 0, PubKey: key(a)})
			}
			l.Lacking(ctx, lacking)
		}
		var both sync.WaitGroup
		for range 5 {
			both.Go(func() { ask(time.Minute, 1, 2, 3) })
		}
		both.Wait()
		if slices.Sort(kept); !slices.Equal(kept, sorted(alice.ID, ended.ID)) {
			t.Errorf("kept %v", kept)
		}
		r.running.Wait()
		asked := len(w.asked)
		ask(time.Minute, 1, 2, 3)
		if r.running.Wait(); len(w.asked) != asked {
			t.Error("looked up again at once")
		}
		time.Sleep(absentFor)
		ask(time.Minute, 3)
		if r.running.Wait(); len(w.asked) == asked {
			t.Error("never looked up again")
		}
	})
}

func sorted(ids ...string) []string {
	slices.Sort(ids)
	return ids
}

// Thousands of authors that nobody has start few look-ups, and who asks waits no longer than they want to.
func TestLookUpsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add(1, &fakeIndex{silent: true}, 0)
		r := w.resolver(t)
		l := &LookUp{Resolver: r, Kinds: []int{10002}, Now: r.Now, Log: slog.New(slog.DiscardHandler), Keep: func(nostr.Event) {}}
		var nobody []nostr.Address
		for i := range 2000 {
			nobody = append(nobody, nostr.Address{Kind: 10002, PubKey: key(100 + i)})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		l.Lacking(ctx, nobody)
		running := func() int {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.running)
		}
		if took := time.Since(begun); took != time.Second || running() != lookUps {
			t.Errorf("waited %v for %d", took, running())
		}
		if r.running.Wait(); running() != 0 {
			t.Errorf("%d run for ever", running())
		}
	})
}

// Every infohash is announced soon after the start, and from then on within twelve minutes, evenly.
func TestAnnouncer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		begun := time.Now()
		a := &Announcer{Network: w, Port: 4848, Log: slog.New(slog.DiscardHandler), Now: func() time.Time {
			return time.Unix(start, 0).Add(time.Since(begun))
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 16*announceFirst+announceEvery-time.Second)
		defer cancel()
		announced := func() (count int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, peers := range w.peers {
				count += len(peers)
			}
			return count
		}
		go func() {
			time.Sleep(16*announceFirst + announceEvery/2)
			if got := announced(); got < 16+7 || got > 16+9 {
				t.Errorf("after half of the second round there were %d announcements", got)
			}
		}()
		a.Run(ctx)
		for i, hash := range Infohashes(a.Now()) {
			if peers := w.peers[hash]; len(peers) != 2 || peers[0].Port() != 4848 {
				t.Errorf("infohash %d has %v", i, peers)
			}
		}
		if a.Took() != 16*20 {
			t.Errorf("taken by %d", a.Took())
		}
	})
}
