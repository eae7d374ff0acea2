package console

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// Summary counts what is known of all users, records and relays; its JSON is
// stable.
type Summary struct {
	At time.Time `json:"at"`
	// Whole is false until all that is stored has been counted once.
	Whole bool  `json:"whole"`
	Users Users `json:"users"`
	// Records are counted by [Record.State], Relays by [Relay.Health].
	Records map[string]int `json:"records"`
	Relays  map[string]int `json:"relays"`
	Proved  Proved         `json:"proved"`
	// Lacking are the relays that have shown events in their last sync which the local relay lacks.
	Lacking int `json:"relays_lacking"`
	// Syncs and Passes are under way, [mostSyncs] of each at most, and Running and Passing
	// how many there are. Those of which only KV tells have been cut off or have begun just now.
	Syncs   []RunningSync          `json:"syncs"`
	Running int                    `json:"syncs_running"`
	Passes  []contract.RunningPass `json:"passes"`
	Passing int                    `json:"passes_running"`
	Survey  Surveyed               `json:"survey"`
}

// Users are counted by their records on the DHT, and by their relay lists.
type Users struct {
	All int `json:"all"`
	// Findable have a record that DHT nodes held when last asked, and that is
	// not long due to be refreshed.
	Findable int `json:"findable"`
	// Holders are those with a record by how many nodes held the best of their
	// records; those that are long due count as held by none.
	Holders []Holders `json:"by_holders"`
	// Recorded have a record, whoever holds it.
	Recorded int `json:"recorded"`
	Listed   int `json:"listed"` // a relay list of theirs is known
	// Lists are counted by source; a user may have one of each.
	Lists map[string]int `json:"lists"`
}

// Holders are the users whose record is held by From to To nodes.
type Holders struct {
	From  int `json:"from"`
	To    int `json:"to"`
	Users int `json:"users"`
}

// Proved are the relays that the local relay has been compared with.
type Proved struct {
	// Live have answered, and did so at their last probe.
	Live int `json:"live"`
	// Complete are those of them whose last sync, within [provedFor], ended well.
	Complete int `json:"complete"`
	// Failing are those of them whose last sync failed.
	Failing int `json:"failing"`
	// Missing counts events that relays have shown in their last sync and that
	// the local relay neither has nor has refused.
	Missing int `json:"missing"`
}

// Unproved is how many live relays are not known to be complete.
func (p Proved) Unproved() int { return p.Live - p.Complete }

// Surveyed is what the survey has come to, over all slices of the authors.
type Surveyed struct {
	Slices  int   `json:"slices"`
	Authors int   `json:"authors"`
	Yielded int   `json:"yielded"` // events that all its looks have brought
	Oldest  int64 `json:"oldest"`  // when the last pass over the slice began that waits longest, in Unix seconds
	// Behind are slices with authors that have had no pass for [surveyWithin].
	Behind int `json:"behind"`
}

// RunningSync is a sync that is under way, or was when its worker died.
type RunningSync = contract.RunningSync

const (
	// provedFor is how long a sync proves a relay complete.
	provedFor = 7 * 24 * time.Hour
	// overdue is how long after its time a record that was not refreshed counts
	// as held by nobody: DHT nodes forget it after about two hours.
	overdue = 90 * time.Minute
	// surveyWithin is how long a slice may be without a pass, of which one an hour is due.
	surveyWithin = 6 * time.Hour
	// mostSyncs bounds the list of those that are under way.
	mostSyncs = 10
	// syncsLast is for how long a sync that began may be under way.
	syncsLast = 24 * time.Hour
)

// facts are what the counts are made of: of each key a few bytes.
type facts struct {
	authors map[[32]byte]listsKnown
	records map[[20]byte]recordFacts
	relays  map[string]relayFacts
	syncs   map[string]syncFacts
	surveys map[string]surveyFacts
}

// listsKnown has a bit for each of [listSources].
type listsKnown uint8

// listSources are where relay lists of authors come from.
var listSources = []string{contract.ViaNIP65, contract.ViaDHT, contract.ViaNIP78}

type recordFacts struct {
	author  [32]byte
	due     int64
	held    uint8
	thin    bool
	asked   bool
	lasting bool // it was read back once
}

type relayFacts struct {
	url      string
	is       contract.Relay // of which only what [health] looks at
	answered bool
	latency  int64
}

type syncFacts struct {
	url      string
	failures int
	lastOK   int64
	missing  int
	doubted  int64
	progress *RunningSync
	stored   int
	live     int64
	tried    int64
}

type surveyFacts struct {
	split   bool
	authors int
	passed  int64
	yielded int
}

func newFacts() facts {
	return facts{
		map[[32]byte]listsKnown{}, map[[20]byte]recordFacts{}, map[string]relayFacts{}, map[string]syncFacts{}, map[string]surveyFacts{},
	}
}

// countedBuckets are those that are counted key by key.
func countedBuckets() []string {
	return []string{contract.BucketAuthors, contract.BucketRecords, contract.BucketRelays, contract.BucketSyncs, contract.BucketSurveys}
}

// apply takes the newest value of a key; without data it was removed. A value that does not
// decode counts as none.
func (f *facts) apply(bucket, key string, data []byte, now int64) {
	switch bucket {
	case contract.BucketAuthors:
		var pubkey [32]byte
		if !fromHex(pubkey[:], key) {
			return
		}
		set(f.authors, pubkey, data, now, listsOf)
	case contract.BucketRecords:
		var target [20]byte
		if _, digits, _ := strings.Cut(key, "."); !fromHex(target[:], digits) {
			return
		}
		set(f.records, target, data, now, factsOfRecord)
	case contract.BucketRelays:
		set(f.relays, key, data, now, func(r contract.Relay) relayFacts {
			return relayFacts{r.URL, contract.Relay{
				RetryAt: r.RetryAt, Failures: r.Failures, ProbeFailures: r.ProbeFailures, ProbedAt: r.ProbedAt,
			}, r.HasAnswered(), r.LatencyMS}
		})
	case contract.BucketSyncs:
		set(f.syncs, key, data, now, factsOfSync)
	case contract.BucketSurveys:
		set(f.surveys, key, data, now, factsOfSurvey)
	}
}

// set keeps what facts says of a value, or removes what was kept.
func set[K comparable, T, F any](m map[K]F, key K, data []byte, now int64, facts func(T) F) {
	var value T
	if data == nil || json.Unmarshal(data, &value) != nil {
		delete(m, key)
		return
	}
	if dated, is := any(&value).(interface{ Believe(now int64) }); is {
		dated.Believe(now)
	}
	m[key] = facts(value)
}

// fromHex reports whether s is hex of just as many bytes as dst takes.
func fromHex(dst []byte, s string) bool {
	if len(s) != hex.EncodedLen(len(dst)) {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

func listsOf(a contract.Author) (known listsKnown) {
	for i, via := range listSources {
		if list, has := a.Lists[via]; has && len(list.Write)+len(list.Read) > 0 {
			known |= 1 << i
		}
	}
	return known
}

func factsOfRecord(r contract.Record) recordFacts {
	f := recordFacts{
		due: r.NextDue, held: uint8(min(max(r.Held, 0), 255)), //nolint:gosec // bounded
		thin: r.Failures > 0, asked: len(r.Nodes) > 0, lasting: r.VerifiedAt != 0,
	}
	fromHex(f.author[:], r.PubKey)
	return f
}

func factsOfSync(s contract.Sync) syncFacts {
	f := syncFacts{
		url: s.URL, failures: s.Failures, lastOK: s.LastOK, missing: max(0, s.Last.Missing-s.Last.Stored-s.Last.Refused),
		stored: max(0, s.Stored), live: s.Live, tried: s.LastTry,
	}
	if s.Doubt != nil {
		f.doubted = s.Doubt.At
	}
	if p := s.Progress; p != nil {
		f.progress = &RunningSync{URL: s.URL, Begun: p.Begun, Done: len(p.Done), Of: p.Of}
	}
	return f
}

func factsOfSurvey(s contract.Survey) surveyFacts {
	f := surveyFacts{split: s.Split, authors: max(0, s.Authors), passed: s.Passed}
	for _, look := range s.Looks {
		f.yielded += max(0, look.All)
	}
	return f
}

func (r recordFacts) state(now int64) string {
	switch {
	case r.asked && r.held == 0:
		return recordLost
	case !r.lasting:
		return recordWaiting
	case r.due != 0 && r.due < now-int64(overdue.Seconds()):
		return recordOverdue
	case r.thin:
		return recordThin
	}
	return recordKept
}

// health is that of the relay with a key, as [health] says.
func (f *facts) health(key string, now int64) string {
	var last *contract.Sync
	if s, synced := f.syncs[key]; synced {
		last = &contract.Sync{Failures: s.failures, LastOK: s.lastOK}
	}
	state, _ := health(f.relays[key].is, last, now)
	return state
}

// live reports whether the relay with a key has answered, and proved whether
// the local relay was proved complete with it.
func (f *facts) live(key string, now int64) (live, proved bool) {
	r, s := f.relays[key], f.syncs[key]
	live = r.answered && r.is.ProbeFailures == 0
	return live, live && s.failures == 0 && s.lastOK > now-int64(provedFor.Seconds()) &&
		(s.doubted == 0 || s.doubted < now-int64(contract.DoubtFor.Seconds()))
}

// count makes a summary.
func (f *facts) count(at time.Time) Summary {
	now := at.Unix()
	s := Summary{
		At: at, Records: map[string]int{}, Relays: map[string]int{}, Syncs: []RunningSync{},
		Users: Users{All: len(f.authors), Lists: map[string]int{}, Holders: holdersNone()},
	}
	for _, known := range f.authors {
		if known != 0 {
			s.Users.Listed++
		}
		for i, via := range listSources {
			if known&(1<<i) != 0 {
				s.Users.Lists[via]++
			}
		}
	}
	for author, held := range f.held(now, s.Records) {
		if _, is := f.authors[author]; is {
			s.Users.Recorded++
			if held > 0 {
				s.Users.Findable++
			}
		}
		s.Users.Holders[holderClass(int(held))].Users++
	}
	f.countRelays(now, &s)
	s.Survey = f.surveyed(now)
	return s
}

func (f *facts) surveyed(now int64) (s Surveyed) {
	for _, is := range f.surveys {
		if is.split { // its halves have it
			continue
		}
		s.Slices++
		s.Authors += is.authors
		s.Yielded += is.yielded
		if is.authors > 0 && is.passed > 0 && (s.Oldest == 0 || is.passed < s.Oldest) {
			s.Oldest = is.passed
		}
		if is.behind(now) {
			s.Behind++
		}
	}
	return s
}

// behind reports whether a slice with authors has had no pass for long.
func (s surveyFacts) behind(now int64) bool {
	return !s.split && s.authors > 0 && s.passed > 0 && s.passed < now-int64(surveyWithin.Seconds())
}

// held says by how many nodes the best record of each author is held, and counts
// records by state.
func (f *facts) held(now int64, states map[string]int) map[[32]byte]uint8 {
	best := make(map[[32]byte]uint8, len(f.records))
	for _, r := range f.records {
		states[r.state(now)]++
		best[r.author] = max(best[r.author], r.holders(now))
	}
	return best
}

// holders is how many nodes hold a record, of one that is long due none.
func (r recordFacts) holders(now int64) uint8 {
	if state := r.state(now); state == recordOverdue || state == recordWaiting {
		return 0
	}
	return r.held
}

// holdersNone are the classes of users, with nobody in them.
func holdersNone() []Holders { return []Holders{{0, 0, 0}, {1, 3, 0}, {4, 7, 0}, {8, 12, 0}} }

// holderClass is the class of a user whose record so many nodes hold.
func holderClass(held int) int {
	i := len(holdersNone()) - 1
	for held < holdersNone()[i].From {
		i--
	}
	return i
}

func (f *facts) countRelays(now int64, s *Summary) {
	for key := range f.relays {
		s.Relays[f.health(key, now)]++
		live, proved := f.live(key, now)
		if live {
			s.Proved.Live++
		}
		if proved {
			s.Proved.Complete++
		}
		if live && f.relays[key].is.Failures+f.syncs[key].failures > 0 {
			s.Proved.Failing++
		}
	}
	for _, sync := range f.syncs {
		s.Proved.Missing += sync.missing
		if sync.missing > 0 {
			s.Lacking++
		}
		if p := sync.progress; p != nil && p.Begun > now-int64(syncsLast.Seconds()) {
			s.Syncs = append(s.Syncs, *p)
		}
	}
	slices.SortFunc(s.Syncs, earlier)
	s.Syncs = s.Syncs[:min(len(s.Syncs), mostSyncs)]
}
