package relay

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestMissing(t *testing.T) {
	l := NewLocal(newPool(t), startHome(t))
	all := notes(t, 300)
	var wg sync.WaitGroup
	for i, e := range all {
		if i%3 != 0 {
			wg.Go(func() {
				if err := reconcile.Write(testContext(t), l, e); err != nil {
					t.Errorf("publish: %v", err)
				}
			})
		}
	}
	wg.Wait()
	ask := append(ids(all), "no id", strings.Repeat("0", 64), all[0].ID)
	var want []string
	for i, id := range ask {
		if i%3 == 0 || i >= len(all) {
			want = append(want, id)
		}
	}
	got, err := l.Missing(testContext(t), ask)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%d missing and %v, want %d in their order", len(got), err, len(want))
	}
	if got, err := l.Missing(testContext(t), nil); err != nil || len(got) != 0 {
		t.Errorf("nothing asked: %v, %v", got, err)
	}
}

func TestMissingAddresses(t *testing.T) {
	l := NewLocal(newPool(t), startHome(t))
	sk := newKey(t)
	for _, e := range []nostr.Event{
		note(t, sk, 10002, 100, ""),
		note(t, sk, 30023, 100, "", nostr.Tag{"d", "here"}),
		note(t, sk, 30023, 100, "", nostr.Tag{"d", "with:colons"}),
		note(t, sk, 30000, 100, "", nostr.Tag{"d", ""}),
		note(t, sk, 30001, 100, ""),
	} {
		if err := reconcile.Write(testContext(t), l, e); err != nil {
			t.Fatal(err)
		}
	}
	a := func(kind int, d string) string { return fmt.Sprintf("%d:%s:%s", kind, sk.PublicKey(), d) }
	ask := []string{
		a(10002, ""), a(10002, "odd"), a(30023, "here"), a(30023, "with:colons"), a(30000, ""), a(30001, ""),
		a(10000, ""), a(30023, "elsewhere"), a(30023, ""), "nonsense", a(1, ""),
	}
	for i := range 30 {
		ask = append(ask, a(30023, strconv.Itoa(i)))
	}
	got, err := l.MissingAddresses(testContext(t), ask)
	if err != nil || !slices.Equal(got, ask[6:]) {
		t.Errorf("missing %v and %v, want all from the seventh on", got, err)
	}
}

// countingRelay has the events, answers at most limit of a REQ, and counts.
func countingRelay(have map[string]nostr.Event, limit int, reqs chan<- int) func(*peer) {
	return func(p *peer) {
		for msg := p.expect("REQ"); msg != nil; msg = p.expect("REQ") {
			var f nostr.Filter
			if err := json.Unmarshal(msg[1], &f); err != nil {
				p.t.Error(err)
			}
			reqs <- len(f.IDs)
			sent := 0
			for _, id := range f.IDs {
				if e, ok := have[id]; ok && sent < limit {
					p.send("EVENT", msg[0], e)
					sent++
				}
			}
			p.send("EOSE", msg[0])
		}
	}
}

func TestMissingIsBatched(t *testing.T) {
	all := notes(t, 2*idsPerREQ)
	have := map[string]nostr.Event{}
	for i, e := range all {
		if i%7 != 0 {
			have[e.ID] = e
		}
	}
	reqs := make(chan int, 1000)
	f := startFake(t, countingRelay(have, len(all), reqs))
	l := NewLocal(newPool(t), f.url)
	var wg sync.WaitGroup
	for i, e := range all {
		wg.Go(func() {
			missing, err := l.Missing(testContext(t), []string{e.ID})
			if err != nil || (len(missing) == 1) != (i%7 == 0) {
				t.Errorf("event %d: missing %v, %v", i, missing, err)
			}
		})
	}
	wg.Wait()
	if n := len(reqs); n > len(all)/10 {
		t.Errorf("%d callers made %d REQs", len(all), n)
	}
	for range len(reqs) {
		if n := <-reqs; n > idsPerREQ {
			t.Errorf("a REQ asked for %d ids, at most %d are accepted everywhere", n, idsPerREQ)
		}
	}
}

func TestMissingAsksOnce(t *testing.T) {
	reqs := make(chan int, 100)
	l := NewLocal(newPool(t), startFake(t, countingRelay(nil, 1, reqs)).url)
	id := notes(t, 1)[0].ID
	got, err := l.Missing(testContext(t), slices.Repeat([]string{id}, 3*idsPerREQ))
	if err != nil || len(got) != 3*idsPerREQ {
		t.Errorf("%d missing and %v", len(got), err)
	}
	if n := receive(t, reqs); n != 1 || len(reqs) != 0 {
		t.Errorf("asked for %d ids and %d times more, want one id once", n, len(reqs))
	}
}

// A relay that gives fewer events than the filter allows must not make what it
// has look missing.
func TestMissingAtCappedRelay(t *testing.T) {
	all := notes(t, 90)
	have := map[string]nostr.Event{}
	for _, e := range all[:77] {
		have[e.ID] = e
	}
	reqs := make(chan int, 100)
	l := NewLocal(newPool(t), startFake(t, countingRelay(have, 20, reqs)).url)
	got, err := l.Missing(testContext(t), ids(all))
	if err != nil || !slices.Equal(got, ids(all[77:])) {
		t.Errorf("%d missing and %v, want 13", len(got), err)
	}
}

func TestMissingFails(t *testing.T) {
	f := startFake(t, func(p *peer) {
		for msg := p.expect("REQ"); msg != nil; msg = p.expect("REQ") {
			p.send("CLOSED", msg[0], "error: database")
		}
	})
	l := NewLocal(newPool(t), f.url)
	if got, err := l.Missing(testContext(t), ids(notes(t, 1))); err == nil {
		t.Errorf("a failure is taken for an answer: %v", got)
	}
	a := "10002:" + newKey(t).PublicKey() + ":"
	if got, err := l.MissingAddresses(testContext(t), []string{a}); err == nil {
		t.Errorf("a failure is taken for an answer: %v", got)
	}
}
