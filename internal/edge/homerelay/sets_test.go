package homerelay

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A stranger who has much to read and opens a session over a set that others want, too,
// keeps none of them waiting for what comes before it.
func TestAFloodDelaysNoSetOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		l := newSets(t.Context(), s, newLedger(shares))
		insertMany(t, s, rand.New(rand.NewPCG(1, 2)), 1)
		key := newSetKey(everything, []nostr.Filter{{Kinds: []int{1, 7, 9}}})
		flood, other := &holding{party: testParty("192.0.2.1/32")}, &holding{party: testParty("192.0.2.2/32")}
		l.building.enter(t.Context(), flood.party, maxBuilding, 1)
		ctx, leave := context.WithCancel(t.Context())
		for range 50 {
			go func() {
				if l.building.enter(ctx, flood.party, 1, 1) {
					<-ctx.Done()
					l.building.leave(1)
				}
			}()
			synctest.Wait()
		}
		open := func(h *holding) chan error {
			done := make(chan error, 1)
			go func() {
				set, err := l.open(t.Context(), h, key)
				if err == nil {
					l.release(set, h)
				}
				done <- err
			}()
			synctest.Wait()
			return done
		}
		floods, others := open(flood), open(other)
		l.building.leave(maxBuilding)
		synctest.Wait()
		select {
		case err := <-others:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("it waits behind the flood")
		}
		leave()
		if err := <-floods; err != nil {
			t.Error(err)
		}
	})
}

// Who may hold no more records keeps a set from nobody who may.
func TestASetIsOfWhoHasRoomForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, bounds := newStore(t), shares
		bounds[records].party = 10
		l := newSets(t.Context(), s, newLedger(bounds))
		insertMany(t, s, rand.New(rand.NewPCG(1, 2)), 8)
		key := newSetKey(everything, []nostr.Filter{{Kinds: []int{1, 7, 9}}})
		full := &holding{party: testParty("192.0.2.1/32"), end: func(error) {}} // as when the other leaves first
		other := &holding{party: testParty("192.0.2.2/32")}
		if err := l.ledger.take(full, records, 5); err != nil {
			t.Fatal(err)
		}
		l.building.enter(t.Context(), full.party, maxBuilding, 1)
		errs := make(chan error, 2)
		for _, h := range []*holding{full, other} {
			go func() {
				set, err := l.open(t.Context(), h, key)
				if err == nil {
					l.release(set, h)
				}
				errs <- err
			}()
			synctest.Wait()
		}
		l.building.leave(maxBuilding)
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if l.records != 0 || l.ledger.used[records] != 5 {
			t.Errorf("%d records are held, %d are counted", l.records, l.ledger.used[records])
		}
	})
}

// A set or a count of nothing that is looked for among more than a turn may take is
// refused to strangers, however the work is spread over filters.
func TestWhatIsLookedForAmongTooMuchIsRefused(t *testing.T) {
	r := startRelay(t, "")
	insertMany(t, r.store, rand.New(rand.NewPCG(3, 4)), 600)
	r.sets.most = 800
	nobody := `{"#t":["0"],"kinds":[3]},` + `{"#t":["1"],"kinds":[3]},` + `{"#t":["2"],"kinds":[3]},` + `{"#t":["0"],"kinds":[4000]}`
	many := nobody + "," + nobody
	c, own := dialRaw(t, r.URL()), mustDialFrom(t, r, honest, "Authorization", "Bearer "+r.token)
	c.sendf(`["COUNT","few",%s]`, nobody)
	c.expect("COUNT", "few")
	c.sendf(`["NEG-OPEN","few",[%s],"61"]`, nobody)
	c.expect("NEG-MSG", "few", "61")
	c.sendf(`["COUNT","many",%s]`, many)
	c.expect("CLOSED", "many", "blocked: too many records…")
	c.sendf(`["NEG-OPEN","many",[%s],"61"]`, many)
	c.expect("NEG-ERR", "many", "blocked: too many records…")
	own.sendf(`["COUNT","many",%s]`, many)
	own.expect("COUNT", "many")
}
