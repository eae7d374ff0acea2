package syncing

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const surveyNow = 1_700_000_000

func TestSlicesAreHalvesOfTheKeys(t *testing.T) {
	var keys []string
	for i := range 256 {
		keys = append(keys, fmt.Sprintf("%02x", i)+strings.Repeat("7", 62))
	}
	for slice, want := range map[string][2]string{
		"a": {"00", "ff"}, "a0": {"00", "7f"}, "a1": {"80", "ff"}, "a01": {"40", "7f"}, "a11111111": {"ff", "ff"}, "a00000000": {"00", "00"},
	} {
		got := within(slice, keys)
		if got[0][:2] != want[0] || got[len(got)-1][:2] != want[1] || len(got) != 256>>depth(slice) {
			t.Errorf("%s: %d keys, from %s to %s", slice, len(got), got[0][:2], got[len(got)-1][:2])
		}
	}
	if got := within("a0", nil); len(got) != 0 {
		t.Errorf("of none %v", got)
	}
	for name, valid := range map[string]bool{
		"a": true, "a0101": true, "": false, "0": false, "b0": false, "a2": false, "a0x": false, "a" + strings.Repeat("0", maxDepth+1): false,
	} {
		if validSlice(name) != valid {
			t.Errorf("%q is a slice: %t", name, !valid)
		}
	}
}

// After a yield soon, after nothing later and later, and never never.
func TestARelayIsAskedAgainByWhatItYields(t *testing.T) {
	hours := func(l contract.Look) int { return int((l.Next - l.At + 1799) / 3600) }
	var l contract.Look
	var waits []int
	for i := range 10 {
		l = nextLook(l, look{whole: true}, surveyNow+int64(i), 0)
		waits = append(waits, hours(l))
	}
	if want := []int{12, 24, 48, 96, 192, 336, 336, 336, 336, 336}; !slices.Equal(waits, want) {
		t.Errorf("after nothing: waits of %v hours, want %v", waits, want)
	}
	l = nextLook(l, look{n: 3, whole: true}, surveyNow, 0)
	if hours(l) != 6 || l.N != 3 || l.All != 3 || l.Dull != 0 || !l.Whole {
		t.Errorf("after a yield: %+v", l)
	}
	l = nextLook(l, look{n: 0}, surveyNow, 0)
	if hours(l) != 6 || l.Whole || l.Dull != 0 {
		t.Errorf("cut short: %+v", l)
	}
	if sooner := nextLook(l, look{whole: true}, surveyNow, 1); sooner.Next <= surveyNow+10*3600 || sooner.Next >= surveyNow+11*3600 {
		t.Errorf("with all the jitter: %+v", sooner)
	}
}

// What speaks no NIP-77 is read back step by step to its beginning, each time after what is new, and after a month from
// its beginning again.
func TestPagedRelaysAreReadBackwards(t *testing.T) {
	c, now := candidate{paged: true}, int64(surveyNow)
	var l contract.Look
	read := int64(surveyNow) // the oldest of what has been read without a gap
	var back []int64
	for range 8 {
		list := spans(l, c, now)
		if first := list[0]; first.until != 0 || l.At > 0 && first.since != l.At-86400 {
			t.Fatalf("after %+v what is new is %+v", l, first)
		}
		oldest := list[len(list)-1]
		if len(list) == 2 && oldest.until != read {
			t.Fatalf("read to %d, then %+v", read, oldest)
		}
		read = oldest.since
		if back = append(back, 0); oldest.since > 0 {
			back[len(back)-1] = (now - oldest.since) / 86400
		}
		l = nextLook(l, look{whole: true, paged: true, since: oldest.since, pages: 3, done: len(list)}, now, 0)
		now = l.Next
	}
	if want := []int64{30, 60, 180, 660, 2581, 0}; !slices.Equal(back[:6], want) || back[6] == 0 || back[6] > 8 || !l.Whole || l.From != 0 {
		t.Errorf("read back %v days, then %+v", back, l)
	}
	again := spans(nextLook(l, look{paged: true, since: now - 100*86400, done: 1}, now, 0), c, now)
	if again[1] != (span{now - 400*86400, now}) {
		t.Errorf("after a look that did not bring all: %+v", again)
	}
	for range 20 {
		list := spans(l, c, now)
		if l = nextLook(l, look{whole: true, paged: true, since: list[0].since, done: 1}, now, 0); l.From != 0 {
			return
		}
		now = l.Next
	}
	t.Errorf("is never read from its beginning again: %+v", l)
}

// How much further the next look goes back follows from the pages that the last stretch took.
func TestStretchesAreOfSoManyPages(t *testing.T) {
	c, l, now := candidate{paged: true}, contract.Look{}, int64(surveyNow)
	length := func() int64 {
		list := spans(l, c, now)
		return (list[1].until - list[1].since) / 3600
	}
	var hours []int64
	for _, pages := range []int{9, 10, 40, 160, 1600, 80_000, 1} {
		list := spans(l, c, now)
		l = nextLook(l, look{whole: true, paged: true, since: list[len(list)-1].since, pages: pages, done: len(list)}, now, 0)
		now++
		hours = append(hours, length())
	}
	if want := []int64{720, 2880, 5760, 2880, 144, 1, 4}; !slices.Equal(hours, want) {
		t.Errorf("stretches of %v hours, want %v", hours, want)
	}
}

// A look that took too long keeps what it came to the end of, and the next one tries a quarter of the rest.
func TestALongLookIsTriedAgainInPieces(t *testing.T) {
	const hour = 3600
	now, newest := int64(surveyNow), span{since: surveyNow - 24*hour}
	reading := contract.Look{At: now - 9*hour, Paged: true, From: now - 800*hour, Back: 400 * hour}
	for name, test := range map[string]struct {
		old  contract.Look
		look look
		want []span
	}{
		"the first":                      {contract.Look{}, look{paged: true, since: now - 720*hour}, []span{newest, {now - 180*hour, now}}},
		"all, of a relay without NIP-77": {contract.Look{}, look{paged: true}, []span{newest, {now - 180*hour, now}}},
		"the older of two":               {reading, look{since: now - 1200*hour, done: 1}, []span{newest, {now - 900*hour, now - 800*hour}}},
		"the newer of two":               {reading, look{since: now - 33*hour}, []span{newest, {now - 9*hour + hour/4*3, now}}},
		"by NIP-77":                      {contract.Look{}, look{}, []span{{}}},
	} {
		test.look.late = true
		next := nextLook(test.old, test.look, now, 0)
		if got := spans(next, candidate{}, now); !slices.Equal(got, test.want) || next.Whole {
			t.Errorf("%s: then %v, want %v", name, got, test.want)
		}
	}
}

// Where the set begins reading ends, also if it begins later than it did.
func TestNothingIsReadBeforeTheSetBegins(t *testing.T) {
	newest, older := span{since: 900}, span{500, 800}
	for begins, want := range map[int64][]span{
		0: {newest, older}, 499: {newest, older}, 500: {newest, {0, 800}}, 850: {newest, {0, 800}}, 900: {{}},
	} {
		if got := begunBy([]span{newest, older}, begins); !slices.Equal(got, want) {
			t.Errorf("of a set from %d on %v, want %v", begins, got, want)
		}
	}
	set := &surveySet{filter: nostr.Filter{Authors: []string{alice}, Since: 850}}
	if list := set.filters(span{0, 800}, 0); len(list) != 0 {
		t.Errorf("asked by %+v", list)
	}
}

// A relay that was asked for much is left alone for as long, but not for ever.
func TestSurveysLeaveRoom(t *testing.T) {
	at := busier(0, surveyNow, 1)
	if at != surveyNow+360 {
		t.Errorf("after one session room comes in %d s", at-surveyNow)
	}
	if at = busier(at, surveyNow+50, 3); at != surveyNow+4*360 {
		t.Errorf("after three more room comes in %d s", at-surveyNow)
	}
	if at = busier(at, surveyNow+50, 1<<40); at != surveyNow+50+86400 {
		t.Errorf("after very many room comes in %d s", at-surveyNow)
	}
}

func TestRelaysThatYieldComeFirstAndExploringNeverStops(t *testing.T) {
	var all []candidate
	looks := map[string]contract.Look{}
	for i := range 2 * looksPerPass {
		c := candidate{key: fmt.Sprint("yields", i)}
		all = append(all, c)
		looks[c.key] = contract.Look{At: surveyNow - 9, All: 1, N: i}
	}
	for i := range 2 * looksPerPass {
		all = append(all, candidate{key: fmt.Sprint("praised", i), weight: 1e9})
	}
	for i := range exploring {
		c := candidate{key: fmt.Sprint("waits", i)}
		all = append(all, c)
		looks[c.key] = contract.Look{At: surveyNow - 1_000_000, Dull: 9}
	}
	looks["not due"] = contract.Look{At: surveyNow - 9, Next: surveyNow + 1, All: 1000, N: 1000}
	all = append(all, candidate{key: "not due"})
	list := dueLooks(contract.SurveyRoot, looks, all, surveyNow)
	count := func(prefix string) (n int) {
		for _, c := range list {
			if strings.HasPrefix(c.key, prefix) {
				n++
			}
		}
		return n
	}
	if len(list) != looksPerPass || list[0].key != fmt.Sprint("yields", 2*looksPerPass-1) ||
		count("yields") != looksPerPass-exploring || count("not due") != 0 {
		t.Errorf("%d relays, first %s, %d that yield", len(list), list[0].key, count("yields"))
	}
	// Whoever can have relays praised keeps no relay from its turn: the never asked come
	// first, by lot, and those that were asked before in the order of that.
	if n := count("praised"); n == 0 || n+count("waits") != exploring {
		t.Errorf("%d that are praised, %d that wait", n, count("waits"))
	}
	for i := range 2 * looksPerPass {
		looks[fmt.Sprint("praised", i)] = contract.Look{At: surveyNow - 10}
	}
	if list = dueLooks(contract.SurveyRoot, looks, all, surveyNow); count("waits") < exploring/2 {
		t.Errorf("%d of those that have waited longest", count("waits"))
	}
	if list = dueLooks(contract.SurveyRoot, nil, all[:3], surveyNow); len(list) != 3 {
		t.Errorf("of three relays %d are asked", len(list))
	}
}

func TestTheMemoryOfASliceIsBounded(t *testing.T) {
	looks := map[string]contract.Look{}
	var all []candidate
	for i := range 2 * maxLooks {
		all = append(all, candidate{key: strconv.Itoa(i)})
		if i < maxLooks-1 {
			looks[strconv.Itoa(i)] = contract.Look{At: surveyNow, Next: surveyNow + 1}
		}
	}
	if list := dueLooks(contract.SurveyRoot, looks, all, surveyNow); len(list) != 1 {
		t.Errorf("%d more relays than memory has room for", len(list))
	}
	keepLooks(looks, surveyNow+2*int64(latest/time.Second)+1)
	if len(looks) != 0 {
		t.Errorf("%d looks are kept that are long over", len(looks))
	}
}

// A local relay that prunes is not given the same again, whatever it prunes by; a few
// deleted events are no pruning.
func TestWhatTheLocalRelayPrunesIsNotLookedFor(t *testing.T) {
	s := contract.Survey{Looks: map[string]contract.Look{"x": {At: 1}}}
	for i := range 100 {
		s.Brought = append(s.Brought, contract.Brought{ID: strconv.Itoa(i), At: int64(1000 + (i*37)%100)})
	}
	for name, c := range map[string]struct {
		gone func(at int64) bool
		want int64
	}{
		"keeps all":             {func(int64) bool { return false }, 0},
		"keeps none":            {func(int64) bool { return true }, 1100},
		"keeps the newer half":  {func(at int64) bool { return at < 1050 }, 1050},
		"keeps a few old ones":  {func(at int64) bool { return at < 1050 && at%10 != 0 }, 1050},
		"some were deleted":     {func(at int64) bool { return at%10 == 0 }, 0},
		"too few to say so":     {func(at int64) bool { return at < 1005 }, 0},
		"half of all are gone":  {func(at int64) bool { return at%2 == 0 }, 0},
		"the newer are missing": {func(at int64) bool { return at > 1095 }, 0},
	} {
		got := stillKept(s, func(b contract.Brought) bool { return !c.gone(b.At) }, surveyNow)
		if got.Since != c.want || (got.Why != "") != (c.want > 0) || got.Brought != nil {
			t.Errorf("%s: from %d on, want %d; %q", name, got.Since, c.want, got.Why)
		}
	}
	pruned := contract.Survey{Since: 1050, SinceAt: surveyNow, Why: "w"}
	has := func(contract.Brought) bool { return true }
	if next := stillKept(pruned, has, surveyNow+29*86400); next.Since != 1050 {
		t.Errorf("forgotten too early: %+v", next)
	}
	if next := stillKept(pruned, has, surveyNow+30*86400); next.Since != 0 || next.Why != "" {
		t.Errorf("never tried again: %+v", next)
	}
}

// A thousand relays that are left alone take no share of a pass from those that can be
// asked, and they alone are no reason to read what the local relay has.
func TestRelaysThatAreLeftAloneTakeNoShareOfAPass(t *testing.T) {
	list := []candidate{{key: "fresh"}}
	for i := range 1000 {
		list = append(list, candidate{key: fmt.Sprint("dead", i), weight: 9, rests: surveyNow + 1})
	}
	if due := dueLooks(contract.SurveyRoot, nil, list, surveyNow); len(due) != 1 || due[0].key != "fresh" || !worthPass(nil, due, surveyNow) {
		t.Errorf("%d relays are asked", len(due))
	}
	if due := dueLooks(contract.SurveyRoot, nil, list[1:], surveyNow); len(due) != 0 {
		t.Errorf("%d relays are asked that are left alone", len(due))
	}
}

// Slices that know nothing of relays do not all ask the same ones at a time, which have room for few of them; and a relay
// that has none takes no place of another.
func TestSlicesBeginWithOtherRelays(t *testing.T) {
	var list []candidate
	for i := range 10 * looksPerPass {
		list = append(list, candidate{key: nostr.RelayKey(fmt.Sprintf("wss://%d.example.com", i)), weight: float64(i / looksPerPass)})
	}
	asked := map[string]bool{}
	for i := range 8 {
		for _, c := range dueLooks(fmt.Sprintf("%s%03b", contract.SurveyRoot, i), nil, list, surveyNow) {
			asked[c.key] = true
		}
	}
	if len(asked) < 3*looksPerPass {
		t.Errorf("eight slices ask %d relays, of which %d at a time", len(asked), looksPerPass)
	}
	busy := slices.Clone(list[:looksPerPass])
	for i := range busy {
		busy[i].room, busy[i].weight = surveyNow+1, 99
	}
	if due := dueLooks(contract.SurveyRoot, nil, append(busy, candidate{key: "free"}), surveyNow); len(due) != 1 || due[0].key != "free" {
		t.Errorf("%d relays are asked of which one has room", len(due))
	}
}

// A few relays that are due wait for others, but not for long.
func TestAPassIsMadeWhenItIsWorthReadingTheLocalRelay(t *testing.T) {
	looks := map[string]contract.Look{"a": {At: 1, Next: surveyNow}}
	failed := candidate{key: "b", rests: surveyNow}
	list := []candidate{{key: "a"}, failed}
	wait := int64(gather / time.Second)
	if worthPass(looks, list, surveyNow+wait-1) || !worthPass(looks, list, surveyNow+wait) || worthPass(looks, nil, surveyNow+wait) {
		t.Error("a pass for two relays is not made after they have waited")
	}
	for i := range looksPerPass {
		list = append(list, candidate{key: strconv.Itoa(i), rests: surveyNow})
	}
	if !worthPass(looks, list, surveyNow) {
		t.Error("a full pass waits")
	}
}

// A sync has what looks and other syncs have left of twelve sessions in any hour.
func TestSyncsLeaveRoom(t *testing.T) {
	var asked []int64
	for _, c := range []struct {
		at       int64
		sessions int
		room     int // after it
	}{{0, 5, 7}, {100, 3, 4}, {3599, 0, 4}, {3600, 0, 9}, {3600, 9, 0}, {3650, 30, 0}, {7249, 0, 0}, {7250, 0, 12}} {
		asked = askedFor(asked, surveyNow+c.at, c.sessions)
		if got := roomFor(asked, surveyNow+c.at); got != c.room {
			t.Errorf("at %d s after %d more there is room for %d, want %d", c.at, c.sessions, got, c.room)
		}
		if len(asked) > inAnHour {
			t.Errorf("%d times are kept", len(asked))
		}
	}
}

// A look begins where there is room for all its filters, beside which a small sync has room, or for half of what an hour
// has: a relay that takes few authors at a time would never be asked.
func TestALookNeedsRoomForItsFilters(t *testing.T) {
	for _, c := range []struct {
		asked, filters int
		may            bool
	}{
		{0, 1, true},
		{9, 1, true},
		{10, 1, false},
		{12, 0, false},
		{6, 4, true},
		{7, 4, false},
		{4, 25, true},
		{5, 25, false},
	} {
		looks, syncs := askedFor(nil, surveyNow-60, c.asked/2), askedFor(nil, surveyNow-1800, c.asked-c.asked/2)
		if got := mayLook(contract.Relay{Asked: looks}, contract.Sync{Asked: syncs}, c.filters, time.Unix(surveyNow, 0)); got != c.may {
			t.Errorf("%d filters after %d sessions: %v", c.filters, c.asked, got)
		}
	}
}

// Where slices and sessions are so many that a relay has no room for all of them in six hours, one that has brought
// something is not asked by the same slice again before it was asked by the others.
func TestNoSliceHasASecondLookBeforeTheOthersHadTheirs(t *testing.T) {
	for _, c := range []struct {
		slice    string
		sessions int
		want     time.Duration
	}{
		{"a", 1, 6 * time.Hour},
		{"a01", 7, 6 * time.Hour},
		{"a0101", 1, 6 * time.Hour},
		{"a01010", 5, 32 * time.Hour},
		{"a" + strings.Repeat("1", 16), 3, 14 * day},
		{"a0101010101", 0, 2 * 1024 * lookSpacing},
	} {
		l := nextLook(contract.Look{}, look{n: 5, whole: true, turn: turnOf(c.slice, c.sessions)}, surveyNow, 0)
		if got := l.Next - surveyNow; got != seconds(c.want) {
			t.Errorf("slice %s, %d sessions: asked again after %d s, want %s", c.slice, c.sessions, got, c.want)
		}
	}
}
