package kv_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/edge/natsd/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

type counter struct {
	N int `json:"n"`
}

// bubble runs a test in fake time on a server with a bucket of counters.
func bubble(t *testing.T, test func(t *testing.T, js jetstream.JetStream, b *kv.Bucket[counter])) {
	synctest.Test(t, func(t *testing.T) {
		js := natstest.Start(t)
		b, err := kv.Open[counter](t.Context(), js, events.BucketSyncs)
		if err != nil {
			t.Fatal(err)
		}
		test(t, js, b)
	})
}

func add(n int) func(counter, bool) (counter, bool) {
	return func(old counter, _ bool) (counter, bool) { return counter{old.N + n}, true }
}

func TestEveryUpdateOfManyWritersCounts(t *testing.T) {
	bubble(t, func(t *testing.T, _ jetstream.JetStream, b *kv.Bucket[counter]) {
		const writers, each = 16, 20
		var all sync.WaitGroup
		for range writers {
			all.Go(func() {
				for range each {
					if _, err := b.Update(context.Background(), "k", add(1)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if got, ok, err := b.Get(t.Context(), "k"); err != nil || !ok || got.N != writers*each {
			t.Errorf("counter is %v, %v, %v, want %d", got, ok, err, writers*each)
		}
	})
}

func TestALostRaceDecidesAgainOnWhatTheOtherWrote(t *testing.T) {
	bubble(t, func(t *testing.T, _ jetstream.JetStream, b *kv.Bucket[counter]) {
		for _, existing := range []bool{false, true} {
			key := fmt.Sprint("existing-", existing)
			base := 0
			if existing {
				base = 1
				if _, err := b.Update(t.Context(), key, add(base)); err != nil {
					t.Fatal(err)
				}
			}
			var saw []int
			got, err := b.Update(t.Context(), key, func(old counter, exists bool) (counter, bool) {
				saw = append(saw, old.N)
				if len(saw) == 1 { // another writer comes in between
					if _, err := b.Update(t.Context(), key, add(10)); err != nil {
						t.Fatal(err)
					}
				}
				return counter{old.N + 100}, true
			})
			if err != nil || got.N != base+110 || len(saw) != 2 || saw[1] != base+10 {
				t.Errorf("%s: got %v, %v after seeing %v", key, got, err, saw)
			}
		}
	})
}

func TestUpdateMayDecline(t *testing.T) {
	bubble(t, func(t *testing.T, _ jetstream.JetStream, b *kv.Bucket[counter]) {
		decline := func(old counter, _ bool) (counter, bool) { return counter{99}, false }
		if got, err := b.Update(t.Context(), "k", decline); err != nil || got.N != 0 {
			t.Errorf("declined update returns %v, %v, want the old value", got, err)
		}
		if _, ok, err := b.Get(t.Context(), "k"); ok || err != nil {
			t.Errorf("declined update wrote: %v, %v", ok, err)
		}
	})
}

func TestAnEndlessRaceGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T, _ jetstream.JetStream, b *kv.Bucket[counter]) {
		asked := 0
		_, err := b.Update(t.Context(), "k", func(old counter, _ bool) (counter, bool) {
			asked++
			if _, err := b.Update(t.Context(), "k", add(1)); err != nil {
				t.Fatal(err)
			}
			return old, true
		})
		if err == nil || !strings.Contains(err.Error(), "bucket syncs key k") || asked > 100 {
			t.Errorf("asked %d times: %v", asked, err)
		}
	})
}

func TestRemove(t *testing.T) {
	bubble(t, func(t *testing.T, js jetstream.JetStream, b *kv.Bucket[counter]) {
		ctx := t.Context()
		if removed, err := b.Remove(ctx, "k", func(counter) bool { return true }); removed || err != nil {
			t.Errorf("removed what is not there: %v, %v", removed, err)
		}
		if _, err := b.Update(ctx, "k", add(1)); err != nil {
			t.Fatal(err)
		}
		asked := 0
		removed, err := b.Remove(ctx, "k", func(old counter) bool {
			if asked++; asked == 1 {
				if _, err := b.Update(ctx, "k", add(1)); err != nil {
					t.Fatal(err)
				}
			}
			return old.N == 1
		})
		if removed || err != nil || asked != 2 {
			t.Errorf("removed a value that decide never agreed to: %v, %v after %d questions", removed, err, asked)
		}
		if removed, err = b.Remove(ctx, "k", func(old counter) bool { return old.N == 2 }); !removed || err != nil {
			t.Errorf("remove: %v, %v", removed, err)
		}
		if _, ok, err := b.Get(ctx, "k"); ok || err != nil {
			t.Errorf("still there: %v, %v", ok, err)
		}
		if got, err := b.Update(ctx, "k", add(7)); err != nil || got.N != 7 {
			t.Errorf("create after remove: %v, %v", got, err)
		}

		// The marker of a removed key must not stay for ever.
		if _, err = b.Remove(ctx, "k", func(counter) bool { return true }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		stream, err := js.Stream(ctx, "KV_"+events.BucketSyncs)
		if err != nil {
			t.Fatal(err)
		}
		if n := stream.CachedInfo().State.Msgs; n != 0 {
			t.Errorf("%d messages left in a bucket without keys", n)
		}
	})
}

func TestAValueThatDoesNotDecodeIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T, js jetstream.JetStream, b *kv.Bucket[counter]) {
		raw, err := js.KeyValue(t.Context(), events.BucketSyncs)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := raw.PutString(t.Context(), "x.bad", "{"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Update(t.Context(), "x.good", add(1)); err != nil {
			t.Fatal(err)
		}
		_, _, getErr := b.Get(t.Context(), "x.bad")
		_, updateErr := b.Update(t.Context(), "x.bad", add(1))
		good := 0
		var listErr error
		for entry, err := range b.List(t.Context(), "x.*") {
			if err != nil {
				listErr = err
				continue
			}
			good += entry.Value.N
		}
		for _, err := range []error{getErr, updateErr, listErr} {
			if err == nil || !strings.Contains(err.Error(), "bucket syncs key x.bad") {
				t.Errorf("error does not name bucket and key: %v", err)
			}
		}
		if good != 1 {
			t.Errorf("list stopped at the bad value")
		}
	})
}

func TestOpenNamesAMissingBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := natstest.Start(t)
		_, err := kv.Open[counter](t.Context(), js, "nothing")
		if !errors.Is(err, jetstream.ErrBucketNotFound) || !strings.Contains(err.Error(), "provision") {
			t.Errorf("open a missing bucket: %v", err)
		}
	})
}

func TestListReadsExactlyOneSlice(t *testing.T) {
	bubble(t, func(t *testing.T, js jetstream.JetStream, b *kv.Bucket[counter]) {
		ctx := t.Context()
		want := map[string]int{}
		for i := range 700 { // more than two pages
			key := fmt.Sprintf("3f.%04d", i)
			want[key] = i
			if _, err := b.Update(ctx, key, add(i)); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Update(ctx, fmt.Sprintf("40.%04d", i), add(1)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Remove(ctx, "3f.0000", func(counter) bool { return true }); err != nil {
			t.Fatal(err)
		}
		delete(want, "3f.0000")

		got := map[string]int{}
		for entry, err := range b.List(ctx, "3f.*") {
			if err != nil {
				t.Fatal(err)
			}
			// Written from inside the loop: the key that is being read, and
			// one that comes later.
			if _, err := b.Update(ctx, "40.0001", add(1)); err != nil {
				t.Fatal(err)
			}
			got[entry.Key] = entry.Value.N
		}
		if !maps.Equal(got, want) {
			t.Errorf("list gave %d entries, want %d", len(got), len(want))
		}
		for range b.List(ctx, "nothing.*") {
			t.Error("an empty slice gave an entry")
		}
	})
}

func TestListLeavesNothingBehind(t *testing.T) {
	bubble(t, func(t *testing.T, js jetstream.JetStream, b *kv.Bucket[counter]) {
		for i := range 300 {
			if _, err := b.Update(t.Context(), fmt.Sprintf("a.%d", i), add(1)); err != nil {
				t.Fatal(err)
			}
		}
		for range b.List(t.Context(), ">") { // left early, in the middle of a page
			break
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var ended error
		for _, err := range b.List(ctx, ">") {
			cancel()
			ended = err
		}
		if !errors.Is(ended, context.Canceled) {
			t.Errorf("list with a context that ended: %v", ended)
		}
		stream, err := js.Stream(t.Context(), "KV_"+events.BucketSyncs)
		if err != nil {
			t.Fatal(err)
		}
		if n := stream.CachedInfo().State.Consumers; n != 0 {
			t.Errorf("%d consumers left behind", n)
		}
	})
}

func TestListEndsAlthoughKeysVanishMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, _ jetstream.JetStream, b *kv.Bucket[counter]) {
		for i := range 600 {
			if _, err := b.Update(t.Context(), fmt.Sprintf("a.%03d", i), add(1)); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for _, err := range b.List(t.Context(), "a.*") {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 1 {
				for i := 300; i < 600; i++ {
					if _, err := b.Remove(t.Context(), fmt.Sprintf("a.%03d", i), func(counter) bool { return true }); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if n != 300 {
			t.Errorf("list gave %d entries, want the 300 that were not removed", n)
		}
	})
}
