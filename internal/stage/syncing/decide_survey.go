package syncing

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
)

const (
	// A look that has yielded is repeated after soonest; each in a row that has not
	// doubles the wait, up to latest: no relay is never asked again.
	soonest, latest = 6 * time.Hour, 14 * 24 * time.Hour
	// lookSpacing is how long surveys, of whatever slices, leave a relay in peace for each
	// session that it was asked for: ten an hour, and a sync of syncSessions has room beside them.
	lookSpacing  = 360 * time.Second
	syncSessions = 2
	// inAnHour is for how many sessions a relay is asked within an hour, looks and syncs together.
	inAnHour = 12
	// sessionsOfAFilter is for how many a look asks for one filter, in the mean of its filters. One of which nothing comes
	// takes one, one of which events come two or three.
	sessionsOfAFilter = 6
	// roomOfMany is the room for a look of that many filters and more, which a relay that is synced often would else not have
	// for long.
	roomOfMany = 6
	// pagesOfASession is how many pages of REQ are as much as a session.
	pagesOfASession = 20
	// maxRoom bounds for how long what was asked leaves no room for looks.
	maxRoom = day
	// looksPerPass bounds the looks of one pass, so that the first ones of a slice are
	// spread over hours, and exploring is the share of them that goes to relays
	// where nothing has come from yet, while any is due.
	looksPerPass = 192
	exploring    = looksPerPass / 2
	// gather is how long a relay that is due waits for others, since each pass reads all
	// that the local relay has of the slice.
	gather = 4 * time.Hour
	// maxLooks is how many relays the memory of a slice has: some 500 KB.
	maxLooks = 4000
	// maxDepth bounds how often slices are split.
	maxDepth = 16
	// pagedFrom is how far back the first look reads a relay without NIP-77, or the first
	// that compares all again where that is dear; each that follows reads as much longer as is
	// lookPages about, up to four times, and leastBack at least.
	pagedFrom, leastBack, lookPages = 30 * day, time.Hour, 80
	// longestBack is for all there is.
	longestBack = 20 * 365 * day
	// pagedOverlap is by how much it reads again what the last look has read: events
	// reach a relay late.
	pagedOverlap = day
	// readAgain is after how long it is read back to its beginning again, for authors who
	// are new, and for old events that came late.
	readAgain = 30 * day
	// keyBytes are those of an author's key in a filter.
	keyBytes = 67
)

// candidate is a relay that a survey may ask.
type candidate struct {
	key, url string
	weight   float64 // of the evidence that any author writes there
	paged    bool    // it says that it speaks no NIP-77
	most     int     // authors that it takes in a filter, if it has refused more
	rests    int64   // until then it is left alone, Unix seconds
	room     int64   // until then it has no room for a look, so far as is known
}

// validSlice reports whether a name is that of a slice, see [contract.SurveyRoot].
func validSlice(name string) bool {
	bits, is := strings.CutPrefix(name, contract.SurveyRoot)
	return is && len(bits) <= maxDepth && strings.Trim(bits, "01") == ""
}

// depth is how often a slice has been split off.
func depth(slice string) int { return len(slice) - len(contract.SurveyRoot) }

// within returns the public keys, which are sorted, that belong to a slice.
func within(slice string, pubkeys []string) []string {
	bits := slice[len(contract.SurveyRoot):]
	if bits == "" {
		return pubkeys
	}
	n, _ := strconv.ParseUint(bits, 2, 32)
	first := func(n uint64) int {
		from := strconv.FormatUint(n<<(32-len(bits)), 16)
		if n >= 1<<len(bits) {
			return len(pubkeys)
		}
		i, _ := slices.BinarySearch(pubkeys, strings.Repeat("0", 8-len(from))+from)
		return i
	}
	return pubkeys[first(n):first(n+1)]
}

// look is what one look has come to.
type look struct {
	n     int   // events that came
	whole bool  // all there is was compared, from since on, and what is new there came
	paged bool  // page by page, or dear
	since int64 // where it began, 0 is the beginning of all that is looked for
	pages int   // that its oldest span took
	done  int   // spans that were compared to their ends, of those that [spans] gives; fewer than all is late
	late  bool
	cut   bool          // it was asked for as many sessions as there is room for
	turn  time.Duration // in which all slices have such a look at the relay
}

// dear decides whether so many bytes of negentropy messages are too many for a look at
// authors: more than their keys in the filter take. A relay that has few of the events
// that we have lists them all, whenever it is asked.
func dear(bytes int64, authors int) bool { return bytes > keyBytes*int64(authors) }

// little decides whether so many bytes of events are next to nothing beside the filter of a
// look at authors. A relay without NIP-77 that has no more of them is read whole each time:
// an answer of nothing may be for the moment, and would else be believed for [readAgain].
func little(bytes int64, authors int) bool { return bytes <= keyBytes/10*int64(authors) }

// nextLook decides what is remembered of a relay after a look at now, and when the next
// one is due. jitter is from 0 up to 1.
func nextLook(old contract.Look, l look, now int64, jitter float64) contract.Look {
	read := old.Paged && old.From == 0 && l.paged // to its beginning, before
	next := contract.Look{
		At: now, N: l.n, All: old.All + l.n, Dull: old.Dull + 1, Paged: l.paged, Whole: l.whole && (l.since == 0 || read),
	}
	switch {
	case l.n > 0:
		next.Dull = 0
	case !next.Whole:
		next.Dull = old.Dull
	}
	wait := soonest
	if next.Whole && next.Dull > 0 {
		wait = latest
		if next.Dull < 8 {
			wait = min(soonest<<next.Dull, latest)
		}
	}
	left := time.Unix(old.Read, 0).Add(readAgain).Sub(time.Unix(now, 0)) // until all is read again
	switch {
	case l.late && (l.paged || old.Paged):
		next = notDone(next, old, l, now)
	case l.paged && !l.whole: // some of it did not come, and is asked for again with what is older
		next.From, next.Back = now, max(4*(now-l.since), seconds(pagedFrom))
	case l.paged && !next.Whole:
		next.From = max(l.since, 1) // older ones are to come
		next.Back = further(old, l)
	case l.paged && read && l.since > 0 && left <= wait:
		next.From, wait = max(l.since, 1), max(left, soonest)
	case l.paged && l.since > 0:
		next.Read = old.Read
	case l.paged:
		next.Read = now
	}
	if l.cut {
		wait = 0
	}
	wait = min(max(wait, l.turn), latest) // no slice has a second look before the others have had theirs
	// Up to an eighth sooner, so that slices drift apart.
	next.Next = now + int64(wait.Seconds()*(1-jitter/8))
	return next
}

// further decides by how many seconds the next look reads back more.
func further(old contract.Look, l look) int64 {
	back := cmp.Or(old.Back, seconds(pagedFrom))
	if old.At == 0 {
		return back // it was the first one, of that length
	}
	return max(min(4*back, back*lookPages/max(int64(l.pages), 1)), seconds(leastBack))
}

// notDone notes a look that was too long: what its spans were compared to their ends of is read, and the next look
// has a quarter of what was left.
func notDone(next, old contract.Look, l look, now int64) contract.Look {
	next.Paged, next.Read = true, old.Read
	if l.done > 0 { // what is new, but not all of what is older
		next.Upto, next.From, next.Back = now, old.From, cmp.Or(old.Back, seconds(pagedFrom))/4
	} else {
		next.Upto, next.From, next.Back = now, now, min(now-l.since, seconds(pagedFrom))/4
	}
	next.Back = max(next.Back, seconds(leastBack))
	return next
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// span is a stretch of created_at, Unix seconds, both ends included; an until of 0 is open.
type span struct{ since, until int64 }

// spans decides what is compared in a look at now: all that is looked for, or, at a relay without NIP-77 or where all is
// dear, what is new and then, until it has been read to its beginning, a stretch of what is older.
func spans(old contract.Look, c candidate, now int64) []span {
	switch {
	case !old.Paged && (old.At > 0 || !c.paged):
		return []span{{}}
	case old.At == 0:
		return []span{{since: now - seconds(pagedFrom)}}
	}
	list := []span{{since: cmp.Or(old.Upto, old.At) - seconds(pagedOverlap)}}
	if old.From == 0 {
		return list
	}
	older := span{old.From - cmp.Or(old.Back, seconds(pagedFrom)), old.From}
	if older.since < now-seconds(longestBack) {
		older.since = 0
	}
	return append(list, older)
}

// begunBy returns the spans, newest first, of a set that begins at a time: none goes on before it, and the one that reaches
// it is to the beginning of all that is looked for.
func begunBy(list []span, begins int64) []span {
	for i := range list {
		if list[i].since <= begins {
			list[i].since = 0
			return list[:i+1]
		}
	}
	return list
}

// busier decides until when surveys leave a relay alone that is asked for so many sessions at now, beside what it was
// asked for before.
func busier(roomAt, now int64, sessions int) int64 {
	return min(max(roomAt, now)+int64(sessions)*seconds(lookSpacing), now+seconds(maxRoom))
}

// roomFor decides for how many sessions a sync may ask a relay at now, which was asked for others at the times given.
func roomFor(asked []int64, now int64) int {
	return inAnHour - len(lately(asked, now))
}

// roomForLook is [roomFor] beside which a small sync has room.
func roomForLook(asked []int64, now int64) int { return roomFor(asked, now) - syncSessions }

// askedFor adds so many sessions at now to the times of those that count, see [contract.Relay.Asked].
func askedFor(asked []int64, now int64, sessions int) []int64 {
	asked = lately(asked, now)
	for range min(sessions, inAnHour) {
		asked = append(asked, now)
	}
	return asked[max(0, len(asked)-inAnHour):]
}

func lately(asked []int64, now int64) []int64 {
	return slices.DeleteFunc(slices.Clone(asked), func(at int64) bool { return at <= now-3600 })
}

// turnOf decides how long it takes until as many slices as this one have asked a relay for so many sessions each: twice
// the time of the sessions, since syncs take their part, and what is left of an hour is too little for many a look.
func turnOf(slice string, sessions int) time.Duration {
	return 2 * time.Duration(min(max(sessions, 1), 100)<<depth(slice)) * lookSpacing
}

// dueLooks decides which relays are asked in a pass at now, most promising first:
// those that have yielded, by how much, and others to explore. Of these every other one
// is the one that most evidence speaks for, and every other one the one that has waited
// longest, so that nobody's words keep a relay from being asked. Of those that are as good each slice begins with others:
// a relay has room for few of them in an hour, and one that has none takes no place of another.
func dueLooks(slice string, looks map[string]contract.Look, candidates []candidate, now int64) (list []candidate) {
	var yielding, fresh []candidate
	for _, c := range candidates {
		switch l, known := looks[c.key]; {
		case c.rests > now, c.room > now, known && l.Next > now:
		case !known && len(looks)+len(fresh) >= maxLooks:
		case l.All > 0 && l.Dull < 4:
			yielding = append(yielding, c)
		default:
			fresh = append(fresh, c)
		}
	}
	slices.SortFunc(yielding, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(looks[b.key].N, looks[a.key].N), cmp.Compare(a.key, b.key))
	})
	slices.SortFunc(fresh, func(a, b candidate) int { return cmp.Compare(a.key, b.key) })
	first, _ := slices.BinarySearchFunc(fresh, beginsAt(slice), func(c candidate, key string) int { return cmp.Compare(c.key, key) })
	fresh = slices.Concat(fresh[first:], fresh[:first])
	byWeight := slices.Clone(fresh)
	slices.SortStableFunc(byWeight, func(a, b candidate) int { return cmp.Compare(b.weight, a.weight) })
	// A look that failed is one for this, too: else thousands of relays that are dead would
	// come before the others.
	slices.SortStableFunc(fresh, func(a, b candidate) int {
		return cmp.Compare(max(looks[a.key].At, a.rests), max(looks[b.key].At, b.rests))
	})
	list = yielding[:min(len(yielding), looksPerPass-min(exploring, len(fresh)))]
	taken := map[string]bool{}
	for i := range fresh {
		for _, c := range []candidate{byWeight[i], fresh[i]} {
			if !taken[c.key] && len(list) < looksPerPass {
				taken[c.key] = true
				list = append(list, c)
			}
		}
	}
	return list
}

// beginsAt returns the relay key, which is a hash, from which on a slice asks relays that are as good as others.
func beginsAt(slice string) string {
	sum := sha256.Sum256([]byte(slice))
	return hex.EncodeToString(sum[:])
}

// worthPass decides whether the relays that are due are worth a pass at now: enough of them
// to fill it, or one that has waited for long; who was never asked has.
func worthPass(looks map[string]contract.Look, list []candidate, now int64) bool {
	return len(list) >= looksPerPass || slices.ContainsFunc(list, func(c candidate) bool {
		return max(looks[c.key].Next, c.rests) <= now-int64(gather/time.Second)
	})
}

// keepLooks bounds the memory of a slice to relays that are still candidates, or were
// asked within the longest wait.
func keepLooks(looks map[string]contract.Look, now int64) {
	for key, l := range looks {
		if l.At < now-2*int64(latest/time.Second) {
			delete(looks, key)
		}
	}
}
