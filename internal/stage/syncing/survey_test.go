package syncing

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/testkit/memkv"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// shop is a relay in memory.
type shop struct {
	mu        sync.Mutex
	events    map[string]nostr.Event
	asked     int   // sessions and REQs for authors
	reads     int   // REQs for all there is of authors
	verified  int   // REQs for authors of whose events the signatures are verified
	fails     error // of whatever is asked
	no77      bool
	limits    reconcile.Limits
	most      int                      // authors that it takes in a filter, 0 is any
	invent    int                      // ids that its sessions list and it has not
	largest   int                      // events that it compares in a session, 0 is any number
	withholds func(nostr.Filter) bool  // the REQs to which it shows no event, nil is none
	keeps     func(e nostr.Event) bool // nil: all
	refuses   func() string            // what it says in place of OK; nil or "" is OK
	opens     func()                   // is called before each session; may be nil
}

func (s *shop) Limits(context.Context) reconcile.Limits { return s.limits }

func (s *shop) matching(f nostr.Filter) (out []nostr.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if f.Match(&e) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b nostr.Event) int {
		return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func (s *shop) Open(ctx context.Context, f nostr.Filter, first []byte) (reconcile.Session, []byte, error) {
	if s.fails != nil {
		return nil, nil, s.fails
	}
	if s.no77 {
		return nil, nil, reconcile.ErrNoNegentropy
	}
	if s.most > 0 && len(f.Authors) > s.most {
		return nil, nil, reconcile.NewSessionRefusal("error: too many authors")
	}
	if s.opens != nil {
		s.opens()
	}
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	var items []negentropy.Item
	for _, e := range s.matching(f) {
		id, _ := negentropy.ParseID(e.ID)
		items = append(items, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
	}
	if s.largest > 0 && len(items) > s.largest {
		return nil, nil, reconcile.ErrTooLarge
	}
	for range s.invent {
		var id negentropy.ID
		for i := range id {
			id[i] = byte(rand.Int())
		}
		items = append(items, negentropy.Item{Timestamp: surveyNow - 99, ID: id})
	}
	return reconcile.OpenSet(ctx, negentropy.NewVector(items), first)
}

func (s *shop) Query(ctx context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		if s.fails != nil {
			yield(nostr.Event{}, s.fails)
			return
		}
		for _, f := range filters {
			if s.most > 0 && len(f.Authors) > s.most {
				yield(nostr.Event{}, reconcile.NewQueryRefusal("error: too many authors"))
				return
			}
			if len(f.Authors) > 0 && len(f.IDs) == 0 {
				s.mu.Lock()
				s.asked++
				if f.Until == 0 {
					s.reads++
				}
				if reconcile.Held(ctx) == nil {
					s.verified++
				}
				s.mu.Unlock()
			}
			list := s.matching(f)
			if f.Limit > 0 {
				list = list[:min(len(list), f.Limit)]
			}
			if s.withholds != nil && s.withholds(f) {
				list = nil
			}
			for _, e := range list {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

func (s *shop) Publish(_ context.Context, e nostr.Event) (reconcile.Reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, has := s.events[e.ID]; has {
		return reconcile.Reply{Outcome: reconcile.Duplicate}, nil
	}
	if s.refuses != nil && s.refuses() != "" {
		return reconcile.ParseReply(false, s.refuses()), nil
	}
	if s.keeps == nil || s.keeps(e) {
		s.events[e.ID] = e
	}
	return reconcile.Reply{Outcome: reconcile.Stored}, nil
}

func (s *shop) Subscribe(context.Context, ...nostr.Filter) iter.Seq2[reconcile.Update, error] {
	return func(yield func(reconcile.Update, error) bool) { yield(reconcile.Update{}, errors.ErrUnsupported) }
}

func (s *shop) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events)
}

// town is a stage with its relays and buckets.
type town struct {
	*Stage
	t       *testing.T
	shops   map[string]*shop
	links   *memkv.Bucket[contract.Link]
	relays  *memkv.Bucket[contract.Relay]
	surveys *memkv.Bucket[contract.Survey]
	out     []contract.Output
	mu      sync.Mutex
}

const townHall = "ws://127.0.0.1:7777"

func newTown(t *testing.T, authors ...string) *town {
	w := &town{
		t: t, shops: map[string]*shop{}, links: memkv.New[contract.Link](), relays: memkv.New[contract.Relay](),
		surveys: memkv.New[contract.Survey](),
	}
	known := memkv.New[contract.Author]()
	for _, pubkey := range authors {
		known.Of[pubkey] = contract.Author{FirstSeen: 1}
	}
	w.Stage = &Stage{
		Authors: known, Relays: w.relays, Links: w.links, Net: w, Local: townHall,
		Syncs: memkv.New[contract.Sync](), Refused: memkv.New[contract.Refused](),
		Rules:   func(string) []Rule { return []Rule{{Direction: reconcile.Down, Writers: true}} },
		Deleted: func(context.Context, *nostr.Event) (bool, error) { return false, nil },
		Publish: func(_ context.Context, out ...contract.Output) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.out = append(w.out, out...)
			return nil
		},
		Survey:    Survey{Surveys: w.surveys, On: func(context.Context) bool { return true }},
		SyncEvery: 15 * time.Minute, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	w.open(townHall)
	return w
}

func (w *town) At(_ context.Context, url string) (reconcile.Relay, error) {
	if w.shops[url] == nil {
		return nil, errors.New("nothing listens there")
	}
	return w.shops[url], nil
}

// open opens a relay with notes of an author, a day apart.
func (w *town) open(url string, authors ...string) *shop {
	s := &shop{events: map[string]nostr.Event{}}
	for _, pubkey := range authors {
		for i := range 20 {
			e := nostr.Event{PubKey: pubkey, Kind: 1, CreatedAt: time.Now().Unix() - int64(i+1)*86400, Content: url}
			e.ID = e.Hash()
			s.events[e.ID] = e
		}
	}
	w.shops[url] = s
	if url != townHall {
		w.relays.Of[nostr.RelayKey(url)] = contract.Relay{URL: url, ProbedAt: 1, FirstSeen: 1}
	}
	return s
}

// pass has the slice of all authors surveyed.
func (w *town) pass() []contract.Output {
	w.t.Helper()
	out, verdict := w.HandleSurvey(w.t.Context(), contract.Message{
		Subject: contract.SurveyDueSubject(contract.SurveyRoot), Data: nostr.Encode(contract.SurveyDue{Slice: contract.SurveyRoot}), Attempt: 1,
	})
	if verdict != contract.Done() {
		w.t.Fatalf("verdict %+v", verdict)
	}
	return out
}

// An author of whom no list is known is found where their notes are, is synced there
// from then on, and a relay that has nothing is asked ever more seldom; the local
// relay is read once per pass.
func TestTheSurveyFindsWhatNoListNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, alice, bob)
		yields := w.open("wss://yields.example.com", alice)
		nothing := w.open("wss://nothing.example.com")
		old := w.open("wss://old.example.com", bob)
		old.no77 = true
		w.pass()
		home := w.shops[townHall]
		if home.count() != 40 || home.asked > 2 {
			t.Fatalf("the local relay has %d of 40, and was read %d times", home.count(), home.asked)
		}
		if home.verified > 0 {
			t.Error("signatures of what the local relay has are verified again")
		}
		link, found, _ := w.links.Get(t.Context(), contract.LinkKey(nostr.RelayKey("wss://yields.example.com"), alice))
		if !found || link.Delivered != 20 {
			t.Errorf("linked by %+v", link)
		}
		due := contract.SyncDueSubject(nostr.RelayKey("wss://yields.example.com"))
		if !slices.ContainsFunc(w.out, func(o contract.Output) bool { return o.Subject == due && o.Cron == "" }) {
			t.Error("no sync with the relay is due")
		}
		time.Sleep(time.Minute)
		before := nothing.asked
		for range 24 {
			time.Sleep(time.Hour)
			w.pass()
		}
		if n := nothing.asked - before; n == 0 || n > 4 {
			t.Errorf("asked %d times a day where nothing is", n)
		}
		if yields.asked <= before {
			t.Error("not asked again where something was")
		}
		state := w.surveys.Of[contract.SurveyRoot]
		if l := state.Looks[nostr.RelayKey("wss://nothing.example.com")]; !l.Whole || l.Dull == 0 || l.All != 0 {
			t.Errorf("remembered is %+v", l)
		}
		if state.Authors != 2 || state.Passed == 0 {
			t.Errorf("%+v", state)
		}
	})
}

// Where a sync has been through, more that a survey finds makes no other one due: the relay is followed for it.
func TestWhatIsFoundWhereASyncHasBeenMakesNoneDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "wss://yields.example.com"
		w := newTown(t, alice)
		w.MaxLive = 10
		w.open(url, alice)
		key := nostr.RelayKey(url)
		if _, err := w.Syncs.Update(t.Context(), key, func(s contract.Sync, _ bool) (contract.Sync, bool) {
			s.LastOK = time.Now().Unix()
			return s, true
		}); err != nil {
			t.Fatal(err)
		}
		w.pass()
		var at []string
		for _, o := range w.out {
			if o.Subject == contract.SyncDueSubject(key) || o.Subject == contract.LiveDueSubject(key) {
				at = append(at, o.Subject+" "+o.Cron)
			}
		}
		if len(at) != 2 || at[0] == contract.SyncDueSubject(key)+" " || at[1] != contract.LiveDueSubject(key)+" " {
			t.Errorf("published %q", at)
		}
	})
}

// A relay that says before it is asked that it speaks no NIP-77 is read back step by step from the first look on, and to
// its end.
func TestARelayThatSaysThatItHasNoNegentropyIsNotReadWholeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, alice)
		says := w.open("wss://says.example.com", alice)
		says.no77, says.limits.NoNegentropy = true, true
		old := nostr.Event{PubKey: alice, Kind: 1, CreatedAt: time.Now().Unix() - 100*86400}
		old.ID = old.Hash()
		says.events[old.ID] = old
		w.pass()
		if n := w.shops[townHall].count(); n != 20 {
			t.Errorf("the first look brought %d, want the 20 of a month", n)
		}
		w.hours(48)
		if n := w.shops[townHall].count(); n != 21 {
			t.Errorf("after two days %d of 21 are here", n)
		}
	})
}

// A sync of many sessions leaves as much room as looks do; one that has room beside them is not written down.
func TestASyncOfManySessionsKeepsSurveysAway(t *testing.T) {
	for sessions, want := range map[int]int64{2: 0, 3: surveyNow + 3*360} {
		w := newTown(t, alice)
		w.open("wss://large.example.com")
		w.Now = func() time.Time { return time.Unix(surveyNow, 0) }
		timing := &latency{}
		timing.opened.Store(int64(sessions) - 1)
		timing.pages.Store(11) // of 20
		if err := w.note(t.Context(), "wss://large.example.com", nil, timing, false); err != nil {
			t.Fatal(err)
		}
		if got := w.relays.Of[nostr.RelayKey("wss://large.example.com")].SurveyRoomAt; got != want {
			t.Errorf("after %d sessions room is at %d, want %d", sessions, got, want)
		}
	}
}

// A look leaves room for as many sessions as it was: one that is not asked for all authors at a time takes several.
func TestALookCountsItsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "wss://few.example.com"
		var list []string
		for i := range 20 {
			list = append(list, fmt.Sprintf("%064x", i+1))
		}
		w := newTown(t, list...)
		w.open(url)
		r := w.relays.Of[nostr.RelayKey(url)]
		r.MostAuthors = 4
		w.relays.Of[nostr.RelayKey(url)] = r
		began := time.Now().Unix()
		w.pass()
		if room := w.relays.Of[nostr.RelayKey(url)].SurveyRoomAt - began; room < 5*360 || room > 5*360+60 {
			t.Errorf("after five sessions there is room in %d s", room)
		}
	})
}

// A look that brings something from each of its filters is several sessions for each: it ends when there is no more room
// in the hour, and another one brings the rest.
func TestALookThatBringsMuchGoesOnLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "wss://few.example.com"
		authors := many(40)
		w := newTown(t, authors...)
		x := w.open(url, authors...)
		r := w.relays.Of[nostr.RelayKey(url)]
		r.MostAuthors = 4
		w.relays.Of[nostr.RelayKey(url)] = r
		for range 48 {
			before := x.asked
			w.pass()
			if n := x.asked - before; n > inAnHour {
				t.Errorf("%d sessions in a look", n)
			}
			time.Sleep(time.Hour)
		}
		l := w.surveys.Of[contract.SurveyRoot].Looks[nostr.RelayKey(url)]
		if n := w.shops[townHall].count(); n != 40*20 || !l.Whole {
			t.Errorf("%d of %d events are here, %+v", n, 40*20, l)
		}
	})
}

// What a relay invents is no yield, and it is asked as seldom as one that has nothing.
func TestInventedIDsYieldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, alice)
		w.open("wss://liar.example.com").invent = 50
		asked := 0
		for range 14 * 24 {
			w.pass()
			time.Sleep(time.Hour)
			asked = w.shops["wss://liar.example.com"].asked
		}
		l := w.surveys.Of[contract.SurveyRoot].Looks[nostr.RelayKey("wss://liar.example.com")]
		if l.All != 0 || len(w.links.Of) != 0 {
			t.Errorf("a liar has %+v, and %d links", l, len(w.links.Of))
		}
		if asked > 200 {
			t.Errorf("a liar had %d sessions in two weeks", asked)
		}
	})
}

// A relay that is away is dialled at most six times a day, one that refuses not for 30
// days, and one that wants AUTH never.
func TestRelaysThatDoNotWantASurveyAreLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		relay contract.Relay
		fails error
		most  int // looks in 25 days
	}{
		"away":       {contract.Relay{}, errors.New("refused"), 8},
		"refuses":    {contract.Relay{}, reconcile.NewRefusal(reconcile.ParseReason("blocked: no surveys")), 1},
		"wants AUTH": {contract.Relay{AuthRequired: true}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const url = "wss://a.example.com"
				w := newTown(t, alice)
				var looks atomic.Int64
				w.open(url).fails = c.fails
				c.relay.URL, c.relay.FirstSeen = url, 1
				w.relays.Of[nostr.RelayKey(url)] = c.relay
				var bytes atomic.Int64
				w.Survey.Observe = func(_ int, n int64, _ error) { looks.Add(1); bytes.Add(n) }
				for range 25 * 24 {
					w.pass()
					time.Sleep(time.Hour)
				}
				if n := int(looks.Load()); n > c.most || c.most > 0 && n == 0 {
					t.Errorf("asked %d times, at most %d are wanted", n, c.most)
				}
				if (bytes.Load() > 0) != (name == "refuses") { // a filter that nobody was there to take cost nothing
					t.Errorf("%d bytes", bytes.Load())
				}
			})
		})
	}
}

// However many slices want one relay, it has at most ten sessions an hour.
func TestOneRelayHasTenSessionsAnHour(t *testing.T) {
	now := time.Unix(surveyNow, 0)
	r, looks := contract.Relay{}, 0
	for range 3600 {
		if mayLook(r, contract.Sync{}, 1, now) {
			looks++
			r.SurveyRoomAt = busier(r.SurveyRoomAt, now.Unix(), 1)
		}
		now = now.Add(time.Second)
	}
	if looks != 10 {
		t.Errorf("%d looks an hour", looks)
	}
}

// A relay that has few of the events that we have would list them all at each look: where
// that costs more than the filter, the looks that follow compare what is new.
func TestARelayThatLacksMostIsAskedForWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, alice)
		w.open(townHall, alice, alice)
		prunes := w.open("wss://prunes.example.com", alice)
		var bytes []int64
		w.Survey.Observe = func(_ int, n int64, _ error) { bytes = append(bytes, n) }
		w.pass()
		time.Sleep(15 * 24 * time.Hour)
		late := nostr.Event{PubKey: alice, Kind: 1, CreatedAt: time.Now().Unix() - 60}
		late.ID = late.Hash()
		prunes.mu.Lock()
		prunes.events[late.ID] = late
		prunes.mu.Unlock()
		w.pass()
		if len(bytes) != 2 || bytes[0] < 20*32 {
			t.Fatalf("looks of %d bytes", bytes)
		}
		if _, has := w.shops[townHall].events[late.ID]; !has || bytes[1] > bytes[0]/5 {
			t.Errorf("a look of %d bytes after one of %d, which found the new note: %t", bytes[1], bytes[0], has)
		}
	})
}

// A local relay that says OK and prunes old events is not given them for ever.
func TestAPruningRelayIsNotGivenTheSameForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, alice)
		week := time.Now().Add(-7 * 24 * time.Hour).Unix()
		w.shops[townHall].keeps = func(e nostr.Event) bool { return e.CreatedAt >= week }
		w.open("wss://a.example.com", alice)
		var brought atomic.Int64
		w.Survey.Observe = func(n int, _ int64, _ error) { brought.Add(int64(n)) }
		for range 20 * 24 {
			w.pass()
			time.Sleep(time.Hour)
		}
		state := w.surveys.Of[contract.SurveyRoot]
		if brought.Load() > 60 || state.Since == 0 || !strings.Contains(state.Why, "does not keep") {
			t.Errorf("%d events came of 20; %q", brought.Load(), state.Why)
		}
	})
}

func TestASliceWithTooManyAuthorsIsSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var authors []string
		for i := range maxAuthors + 1 {
			authors = append(authors, hex.EncodeToString([]byte(fmt.Sprintf("%c%031d", byte(i%250), i)))[:64])
		}
		w := newTown(t, authors...)
		w.surveys.Of[contract.SurveyRoot] = contract.Survey{Looks: map[string]contract.Look{"x": {At: 1}}}
		for range 2 { // the second time as at every start
			out := w.pass()
			if len(out) != 2 || out[0].Subject != contract.SurveyDueSubject("a0") || out[1].Subject != contract.SurveyDueSubject("a1") ||
				out[0].Cron == contract.CronNever {
				t.Errorf("split into %+v", out)
			}
		}
		if !w.surveys.Of["a"].Split || len(w.surveys.Of["a0"].Looks) != 1 || len(w.surveys.Of["a1"].Looks) != 1 {
			t.Errorf("remembered is %+v", w.surveys.Of)
		}
		w.Survey.On = nil
		if out := w.pass(); len(out) != 1 || out[0].Cron != contract.CronNever {
			t.Errorf("switched off: %+v", out)
		}
	})
}

func TestTheDaysBytesBoundTheSurvey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, alice)
		var looks atomic.Int64
		for i := range 40 {
			w.open(fmt.Sprintf("wss://%d.example.com", i))
		}
		w.Survey.DayBytes = 1
		w.Survey.Observe = func(int, int64, error) { looks.Add(1) }
		for range 12 {
			w.pass()
			time.Sleep(time.Minute)
		}
		if n := looks.Load(); n == 0 || n > looking+1 {
			t.Errorf("%d looks on a day of one byte", n)
		}
		time.Sleep(24 * time.Hour)
		before := looks.Load()
		if w.pass(); looks.Load() == before {
			t.Error("the next day brings none")
		}
	})
}

// Relays become known by the operator's seeds, and by monitors where these write; what one
// monitor may make known is bounded, and what it names of one host, too.
func TestSeedsAndMonitorsMakeRelaysKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const seed, named = "wss://seed.example.com", "wss://named.example.org"
		liar := strings.Repeat("c", 64)
		w := newTown(t, alice)
		w.Survey.Seeds = []string{seed}
		at := w.open(seed)
		w.open(named, alice)
		clear(w.relays.Of)
		says := func(monitor, url string, ago time.Duration) {
			e := nostr.Event{PubKey: monitor, Kind: kindMonitor, CreatedAt: time.Now().Add(-ago).Unix(), Tags: []nostr.Tag{{"d", url}}}
			e.ID = e.Hash()
			at.events[e.ID] = e
		}
		says(bob, named, time.Hour)
		says(bob, "wss://gone.example.net", monitoredFor+time.Hour)
		for i := range maxMonitored + 50 {
			says(liar, fmt.Sprintf("wss://a%d.com", i), time.Duration(i)*time.Second)
			says(liar, fmt.Sprintf("wss://a%d.family.net", i), time.Duration(i)*time.Second)
		}
		for range 3 * 24 { // what the liar names does not answer, and is soon out of the way
			w.pass()
			time.Sleep(time.Hour)
		}
		if n := w.shops[townHall].count(); n != 20 {
			t.Errorf("the local relay has %d of 20", n)
		}
		for url, want := range map[string]bool{seed: true, named: true, "wss://gone.example.net": false} {
			if _, known := w.relays.Of[nostr.RelayKey(url)]; known != want {
				t.Errorf("%s: known %v", url, known)
			}
		}
		family := 0
		for _, r := range w.relays.Of {
			if strings.HasSuffix(r.URL, "family.net") {
				family++
			}
		}
		if n := len(w.relays.Of); n > maxMonitored+3 || n < 1000 || family > 32 {
			t.Errorf("%d relays are known, %d of one host", n, family)
		}
	})
}

// A relay that refuses a filter of so many authors is asked for fewer, in the next passes,
// and what each part brings is the set's; syncs with it ask for as few.
func TestAFilterThatIsRefusedIsAskedForFewerAuthors(t *testing.T) {
	for _, no77 := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const url = "wss://small.example.com"
			var authors []string
			for i := range 130 {
				authors = append(authors, fmt.Sprintf("%064x", i+1))
			}
			w := newTown(t, authors...)
			small := w.open(url, authors...)
			small.most, small.no77 = 30, no77
			for range 24 {
				w.pass()
				time.Sleep(time.Hour)
			}
			r := w.relays.Of[nostr.RelayKey(url)]
			if r.MostAuthors != 20 || r.SurveyFailures != 0 {
				t.Errorf("without NIP-77 %v: %d authors are asked for, %d failures", no77, r.MostAuthors, r.SurveyFailures)
			}
			if n := w.shops[townHall].count(); n != 130*20 {
				t.Errorf("without NIP-77 %v: the local relay has %d of %d", no77, n, 130*20)
			}
			plan, err := w.plan(t.Context(), url)
			if err != nil || len(plan.jobs) < 130/20 || len(plan.jobs[0].filter.Authors) > 20 {
				t.Errorf("a sync asks for %d filters, %v", len(plan.jobs), err)
			}
		})
	}
}

// A relay that refuses whatever is asked in such words is left alone like others that
// refuse, after a few sizes.
func TestSmallerFiltersAreNotTriedForEver(t *testing.T) {
	n, tries := 0, 0
	for ok := true; ok; tries++ {
		n, ok = fewerAuthors(n)
	}
	if tries > 4 || n >= leastAuthors {
		t.Errorf("%d sizes, the last of %d authors", tries, n)
	}
}
