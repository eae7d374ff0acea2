package kv_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
)

type counter struct {
	N int `json:"n"`
}

// world is a server with a bucket of counters, in fake time.
type world struct {
	*natstest.World

	b *kv.Bucket[counter]
}

func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	natstest.InWorld(t, func(w *natstest.World) {
		b, err := kv.Open[counter](w.Context(), w.JS, contract.BucketSyncs)
		if err != nil {
			w.Fatal(err)
		}
		test(&world{w, b})
	})
}

func add(n int) func(counter, bool) (counter, bool) {
	return func(old counter, _ bool) (counter, bool) { return counter{old.N + n}, true }
}

func TestEveryUpdateOfManyWritersCounts(t *testing.T) {
	inWorld(t, func(w *world) {
		const writers, each = 16, 20
		var all sync.WaitGroup
		for range writers {
			all.Go(func() {
				for range each {
					if _, err := w.b.Update(context.Background(), "k", add(1)); err != nil {
						w.Error(err)
					}
				}
			})
		}
		all.Wait()
		if got, ok, err := w.b.Get(w.Context(), "k"); err != nil || !ok || got.N != writers*each {
			w.Errorf("counter is %v, %v, %v, want %d", got, ok, err, writers*each)
		}
	})
}

func TestALostRaceDecidesAgainOnWhatTheOtherWrote(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, existing := range []bool{false, true} {
			key := fmt.Sprint("existing-", existing)
			base := 0
			if existing {
				base = 1
				if _, err := w.b.Update(w.Context(), key, add(base)); err != nil {
					w.Fatal(err)
				}
			}
			var saw []int
			got, err := w.b.Update(w.Context(), key, func(old counter, exists bool) (counter, bool) {
				saw = append(saw, old.N)
				if len(saw) == 1 { // another writer comes in between
					if _, err := w.b.Update(w.Context(), key, add(10)); err != nil {
						w.Fatal(err)
					}
				}
				return counter{old.N + 100}, true
			})
			if err != nil || got.N != base+110 || len(saw) != 2 || saw[1] != base+10 {
				w.Errorf("%s: got %v, %v after seeing %v", key, got, err, saw)
			}
		}
	})
}

func TestUpdateMayDecline(t *testing.T) {
	inWorld(t, func(w *world) {
		decline := func(old counter, _ bool) (counter, bool) { return counter{99}, false }
		if got, err := w.b.Update(w.Context(), "k", decline); err != nil || got.N != 0 {
			w.Errorf("declined update returns %v, %v, want the old value", got, err)
		}
		if _, ok, err := w.b.Get(w.Context(), "k"); ok || err != nil {
			w.Errorf("declined update wrote: %v, %v", ok, err)
		}
	})
}

// mute is a server whose answers get lost.
type mute struct{ jetstream.JetStream }

type muteBucket struct{ jetstream.KeyValue }

func (m mute) KeyValue(ctx context.Context, name string) (jetstream.KeyValue, error) {
	b, err := m.JetStream.KeyValue(ctx, name)
	return muteBucket{b}, err
}

func (muteBucket) Get(ctx context.Context, _ string) (jetstream.KeyValueEntry, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (muteBucket) Create(ctx context.Context, _ string, _ []byte, _ ...jetstream.KVCreateOpt) (uint64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// Those of a sync are for half an hour.
func TestALostAnswerIsNotWaitedForAsLongAsTheContextLasts(t *testing.T) {
	inWorld(t, func(w *world) {
		b, err := kv.Open[counter](w.Context(), mute{w.JS}, contract.BucketSyncs)
		if err != nil {
			w.Fatal(err)
		}
		for what, call := range map[string]func(ctx context.Context) error{
			"get":    func(ctx context.Context) error { _, _, err := b.Get(ctx, "k"); return err },
			"update": func(ctx context.Context) error { _, err := b.Update(ctx, "k", add(1)); return err },
			"add":    func(ctx context.Context) error { _, err := b.Add(ctx, "k", counter{}, time.Hour); return err },
		} {
			ctx, cancel := context.WithTimeout(w.Context(), 30*time.Minute)
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
				w.Errorf("%s: %v, and the context says %v", what, err, ctx.Err())
			}
			cancel()
		}
	})
}

func TestAnEndlessRaceGivesUp(t *testing.T) {
	inWorld(t, func(w *world) {
		asked := 0
		_, err := w.b.Update(w.Context(), "k", func(old counter, _ bool) (counter, bool) {
			asked++
			if _, err := w.b.Update(w.Context(), "k", add(1)); err != nil {
				w.Fatal(err)
			}
			return old, true
		})
		if err == nil || !strings.Contains(err.Error(), "bucket syncs key k") || asked > 100 {
			w.Errorf("asked %d times: %v", asked, err)
		}
	})
}

func TestRemove(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx := w.Context()
		if removed, err := w.b.Remove(ctx, "k", func(counter) bool { return true }); removed || err != nil {
			w.Errorf("removed what is not there: %v, %v", removed, err)
		}
		if _, err := w.b.Update(ctx, "k", add(1)); err != nil {
			w.Fatal(err)
		}
		asked := 0
		removed, err := w.b.Remove(ctx, "k", func(old counter) bool {
			if asked++; asked == 1 {
				if _, err := w.b.Update(ctx, "k", add(1)); err != nil {
					w.Fatal(err)
				}
			}
			return old.N == 1
		})
		if removed || err != nil || asked != 2 {
			w.Errorf("removed a value that decide never agreed to: %v, %v after %d questions", removed, err, asked)
		}
		if removed, err = w.b.Remove(ctx, "k", func(old counter) bool { return old.N == 2 }); !removed || err != nil {
			w.Errorf("remove: %v, %v", removed, err)
		}
		if _, ok, err := w.b.Get(ctx, "k"); ok || err != nil {
			w.Errorf("still there: %v, %v", ok, err)
		}
		if got, err := w.b.Update(ctx, "k", add(7)); err != nil || got.N != 7 {
			w.Errorf("create after remove: %v, %v", got, err)
		}

		// The marker of a removed key takes as much room as a value, and must not stay.
		if _, err = w.b.Remove(ctx, "k", func(counter) bool { return true }); err != nil {
			w.Fatal(err)
		}
		time.Sleep(time.Minute)
		stream, err := w.JS.Stream(ctx, "KV_"+contract.BucketSyncs)
		if err != nil {
			w.Fatal(err)
		}
		if n := stream.CachedInfo().State.Msgs; n != 0 {
			w.Errorf("%d messages left in a bucket without keys", n)
		}
	})
}

func TestAValueThatDoesNotDecodeIsNamed(t *testing.T) {
	inWorld(t, func(w *world) {
		raw, err := w.JS.KeyValue(w.Context(), contract.BucketSyncs)
		if err != nil {
			w.Fatal(err)
		}
		if _, err := raw.PutString(w.Context(), "x.bad", "{"); err != nil {
			w.Fatal(err)
		}
		if _, err := w.b.Update(w.Context(), "x.good", add(1)); err != nil {
			w.Fatal(err)
		}
		_, _, getErr := w.b.Get(w.Context(), "x.bad")
		_, updateErr := w.b.Update(w.Context(), "x.bad", add(1))
		good := 0
		var listErr error
		for entry, err := range w.b.List(w.Context(), "x.*") {
			if err != nil {
				listErr = err
				continue
			}
			good += entry.Value.N
		}
		var oneErr error
		for _, err := range w.b.List(w.Context(), "*.bad") {
			oneErr = err
		}
		for _, err := range []error{getErr, updateErr, listErr, oneErr} {
			if err == nil || !strings.Contains(err.Error(), "bucket syncs key x.bad") {
				w.Errorf("error does not name bucket and key: %v", err)
			}
		}
		if good != 1 {
			w.Errorf("list stopped at the bad value")
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
	inWorld(t, func(w *world) {
		ctx := w.Context()
		want := map[string]int{}
		for i := range 700 { // more than two pages
			key := fmt.Sprintf("3f.%04d", i)
			want[key] = i
			if _, err := w.b.Update(ctx, key, add(i)); err != nil {
				w.Fatal(err)
			}
			if _, err := w.b.Update(ctx, fmt.Sprintf("40.%04d", i), add(1)); err != nil {
				w.Fatal(err)
			}
		}
		if _, err := w.b.Remove(ctx, "3f.0000", func(counter) bool { return true }); err != nil {
			w.Fatal(err)
		}
		delete(want, "3f.0000")

		got := map[string]int{}
		for entry, err := range w.b.List(ctx, "3f.*") {
			if err != nil {
				w.Fatal(err)
			}
			// Written from inside the loop: the key that is being read, and
			// one that comes later.
			if _, err := w.b.Update(ctx, "40.0001", add(1)); err != nil {
				w.Fatal(err)
			}
			got[entry.Key] = entry.Value.N
		}
		if !maps.Equal(got, want) {
			w.Errorf("list gave %d entries, want %d", len(got), len(want))
		}
		for range w.b.List(ctx, "nothing.*") {
			w.Error("an empty slice gave an entry")
		}
	})
}

// leftNothing checks a listing that ended with its caller's context.
func (w *world) leftNothing(ended error) {
	w.Helper()
	if !errors.Is(ended, context.Canceled) {
		w.Errorf("list with a context that ended: %v", ended)
	}
	stream, err := w.JS.Stream(w.Context(), "KV_"+contract.BucketSyncs)
	if err != nil {
		w.Fatal(err)
	}
	if n := stream.CachedInfo().State.Consumers; n != 0 {
		w.Errorf("%d consumers left behind", n)
	}
}

func TestListLeavesNothingBehind(t *testing.T) {
	inWorld(t, func(w *world) {
		for i := range 300 {
			if _, err := w.b.Update(w.Context(), fmt.Sprintf("a.%d", i), add(1)); err != nil {
				w.Fatal(err)
			}
		}
		for range w.b.List(w.Context(), ">") { // left early, in the middle of a page
			break
		}
		ctx, cancel := context.WithCancel(w.Context())
		defer cancel()
		var ended error
		for _, err := range w.b.List(ctx, ">") {
			cancel()
			ended = err
		}
		w.leftNothing(ended)
	})
}

// consumerless counts the consumers that are made.
type consumerless struct {
	jetstream.JetStream
	made int
}

func (c *consumerless) CreateConsumer(ctx context.Context, stream string, config jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	c.made++
	return c.JetStream.CreateConsumer(ctx, stream, config)
}

// What one name ends takes one question and no consumer, however large the bucket is, unless
// there is more than the server answers at once.
func TestTheKeysOfOneNameAreListedAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		js := &consumerless{JetStream: w.JS}
		b, err := kv.Open[counter](w.Context(), js, contract.BucketSyncs)
		if err != nil {
			w.Fatal(err)
		}
		for name, c := range map[string]struct{ keys, consumers int }{"none": {0, 0}, "few": {3, 0}, "many": {1500, 1}} {
			want := map[string]int{}
			for i := range c.keys + 1 {
				key := fmt.Sprintf("%04d.%s", i, name)
				if _, err := b.Update(w.Context(), key, add(i+1)); err != nil {
					w.Fatal(err)
				}
				want[key] = i + 1
			}
			gone := fmt.Sprintf("%04d.%s", c.keys, name)
			if _, err := b.Remove(w.Context(), gone, func(counter) bool { return true }); err != nil {
				w.Fatal(err)
			}
			delete(want, gone)
			got := map[string]int{}
			js.made = 0
			for entry, err := range b.List(w.Context(), "*."+name) {
				if err != nil {
					w.Fatal(err)
				}
				got[entry.Key] = entry.Value.N
			}
			if !maps.Equal(got, want) || js.made != c.consumers {
				w.Errorf("%s: %d entries, want %d; %d consumers, want %d", name, len(got), len(want), js.made, c.consumers)
			}
		}
	})
}

// elsewhere is a JetStream whose questions for messages go elsewhere.
type elsewhere struct{ jetstream.JetStream }

func (elsewhere) Options() jetstream.JetStreamOptions {
	return jetstream.JetStreamOptions{APIPrefix: "elsewhere."}
}

// A question whose answer gets lost, or which a NATS user may not ask, is not one that
// nothing answers to.
func TestAListIsWholeWithoutAnAnswerToItsQuestion(t *testing.T) {
	inWorld(t, func(w *world) {
		if _, err := w.b.Update(w.Context(), "a.one", add(1)); err != nil {
			w.Fatal(err)
		}
		silent, err := w.JS.Conn().SubscribeSync("elsewhere.>")
		if err != nil {
			w.Fatal(err)
		}
		b, err := kv.Open[counter](w.Context(), elsewhere{w.JS}, contract.BucketSyncs)
		if err != nil {
			w.Fatal(err)
		}
		n := 0
		for _, err := range b.List(w.Context(), "*.one") {
			if n++; err != nil {
				w.Error(err)
			}
		}
		if asked, _, _ := silent.Pending(); n != 1 || asked != 1 {
			w.Errorf("%d entries, want 1; asked %d times, want 1", n, asked)
		}
		if got, err := b.GetAll(w.Context(), []string{"a.one"}); err == nil {
			w.Errorf("without an answer: %v", got)
		}
	})
}

// hasty is a caller who loses patience while the server makes a consumer.
type hasty struct {
	jetstream.JetStream
	leave context.CancelFunc
}

func (h hasty) CreateConsumer(ctx context.Context, stream string, c jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := h.JetStream.CreateConsumer(context.WithoutCancel(ctx), stream, c)
	if h.leave(); ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return consumer, err
}

func TestAListThatNobodyWaitsForLeavesNothingBehind(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx, cancel := context.WithCancel(w.Context())
		defer cancel()
		b, err := kv.Open[counter](ctx, hasty{w.JS, cancel}, contract.BucketSyncs)
		if err != nil {
			w.Fatal(err)
		}
		var ended error
		for _, err := range b.List(ctx, ">") {
			ended = err
		}
		w.leftNothing(ended)
	})
}

func TestListEndsAlthoughKeysVanishMeanwhile(t *testing.T) {
	inWorld(t, func(w *world) {
		for i := range 600 {
			if _, err := w.b.Update(w.Context(), fmt.Sprintf("a.%03d", i), add(1)); err != nil {
				w.Fatal(err)
			}
		}
		n := 0
		for _, err := range w.b.List(w.Context(), "a.*") {
			if err != nil {
				w.Fatal(err)
			}
			if n++; n == 1 {
				for i := 300; i < 600; i++ {
					if _, err := w.b.Remove(w.Context(), fmt.Sprintf("a.%03d", i), func(counter) bool { return true }); err != nil {
						w.Fatal(err)
					}
				}
			}
		}
		if n != 300 {
			w.Errorf("list gave %d entries, want the 300 that were not removed", n)
		}
	})
}

func TestWhatIsAddedIsNotOverwrittenAndExpires(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, try := range []struct {
			n    int
			want bool
		}{{1, true}, {2, false}} {
			if added, err := w.b.Add(w.Context(), "k", counter{try.n}, time.Hour); added != try.want || err != nil {
				w.Errorf("add %d: %t, %v", try.n, added, err)
			}
		}
		time.Sleep(59 * time.Minute)
		if v, found, err := w.b.Get(w.Context(), "k"); v.N != 1 || !found || err != nil {
			w.Errorf("within the hour: %v, %t, %v", v, found, err)
		}
		time.Sleep(2 * time.Minute)
		if v, found, err := w.b.Get(w.Context(), "k"); found || err != nil {
			w.Errorf("after it: %v, %v", v, err)
		}
		if added, err := w.b.Add(w.Context(), "k", counter{3}, time.Hour); !added || err != nil {
			w.Errorf("again: %t, %v", added, err)
		}
	})
}

func TestPagesHoldEveryKeyOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx := w.Context()
		keys := []string{}
		for i := range 25 {
			key := fmt.Sprintf("3f.%04d", i)
			keys = append(keys, key)
			for _, k := range []string{key, "40." + key} {
				if _, err := w.b.Update(ctx, k, add(i)); err != nil {
					w.Fatal(err)
				}
			}
		}
		if _, err := w.b.Remove(ctx, keys[3], func(counter) bool { return true }); err != nil {
			w.Fatal(err)
		}
		if _, err := w.JS.Publish(ctx, "$KV."+contract.BucketSyncs+".3f.bad", []byte("{")); err != nil {
			w.Fatal(err)
		}
		if _, err := w.b.Update(ctx, keys[0], add(100)); err != nil {
			w.Fatal(err)
		}
		want := append(slices.Delete(slices.Clone(keys[1:]), 2, 3), keys[0]) // in the order of the last change
		var got []string
		bad := 0
		for from, pages := uint64(0), 1; ; pages++ {
			p, err := w.b.Page(ctx, "3f.>", from, 10)
			if err != nil || len(p.Entries) > 10 || pages > 4 {
				w.Fatalf("page %d: %d entries, %v", pages, len(p.Entries), err)
			}
			for _, e := range p.Entries {
				got = append(got, e.Key)
			}
			bad += len(p.Bad)
			if from = p.Next; from == 0 {
				break
			}
		}
		if !slices.Equal(got, want) || bad != 1 {
			w.Errorf("pages hold %v and %d that cannot be read, want %v and 1", got, bad, want)
		}
		if p, err := w.b.Page(ctx, "none.*", 0, 10); err != nil || len(p.Entries) > 0 || p.Next != 0 {
			w.Errorf("page of nothing: %+v, %v", p, err)
		}
		some, err := w.b.GetAll(ctx, append([]string{"none"}, keys[:5]...))
		if err != nil || len(some) != 4 || some[keys[0]].N != 100 || some[keys[4]].N != 4 {
			w.Errorf("some keys: %v, %v", some, err)
		}
		if none, err := w.b.GetAll(ctx, []string{"none"}); err != nil || len(none) > 0 {
			w.Errorf("keys that do not exist: %v, %v", none, err)
		}
	})
}

func TestComingsAreToldAsTheyHappen(t *testing.T) {
	inWorld(t, func(w *world) {
		set := func(key string) {
			if _, err := w.b.Update(w.Context(), key, add(1)); err != nil {
				w.Fatal(err)
			}
		}
		remove := func(key string) {
			if _, err := w.b.Remove(w.Context(), key, func(counter) bool { return true }); err != nil {
				w.Fatal(err)
			}
		}
		set("a.before")
		remove("a.before")
		ctx, cancel := context.WithCancel(w.Context())
		told, ended := make(chan string, 100), make(chan error, 1)
		go func() { ended <- w.b.Comings(ctx, "*.*", func(key string) { told <- key }) }()
		time.Sleep(time.Second)
		for _, wait := range []time.Duration{0, 2 * time.Second, time.Hour} {
			time.Sleep(wait)
			for _, key := range []string{"a.x", "a.y", "b.c.d"} {
				set(key)
			}
			set("a.x") // which is nothing new
			remove("a.x")
			set("a.x") // again
			set("a.x")
			remove("a.x")
			remove("a.y")
			remove("b.c.d")
			began := time.Now()
			for _, want := range []string{"a.x", "a.y", "a.x", "a.x", "a.x", "a.y"} {
				if key := <-told; key != want || time.Since(began) > time.Second {
					w.Errorf("after %s: %s was told, want %s, %s later", wait, key, want, time.Since(began))
				}
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || len(told) != 0 {
			w.Errorf("%v, told of %d more", err, len(told))
		}
		w.leftNothing(context.Canceled)
	})
}

// Whatever asks the server says before that it waits: the messages that came with one whose handler asks are not to wait
// for the answer.
func TestEveryQuestionTellsThatItWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		for name, ask := range map[string]func(ctx context.Context) error{
			"get":    func(ctx context.Context) error { _, _, err := w.b.Get(ctx, "a.one"); return err },
			"update": func(ctx context.Context) error { _, err := w.b.Update(ctx, "a.one", add(1)); return err },
			"add":    func(ctx context.Context) error { _, err := w.b.Add(ctx, "b.one", counter{}, time.Hour); return err },
			"get all": func(ctx context.Context) error {
				_, err := w.b.GetAll(ctx, []string{"a.one"})
				return err
			},
			"list": func(ctx context.Context) (failed error) {
				for _, err := range w.b.List(ctx, "a.*") {
					failed = err
				}
				return failed
			},
			"list one name": func(ctx context.Context) (failed error) {
				for _, err := range w.b.List(ctx, "*.one") {
					failed = err
				}
				return failed
			},
			"remove": func(ctx context.Context) error {
				_, err := w.b.Remove(ctx, "a.one", func(counter) bool { return true })
				return err
			},
		} {
			told := false
			if err := ask(contract.WithWaits(w.Context(), func() { told = true })); err != nil || !told {
				w.Errorf("%s: told %v, %v", name, told, err)
			}
		}
	})
}
