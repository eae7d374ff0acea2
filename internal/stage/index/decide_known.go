package index

import (
	"cmp"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/health"
)

const (
	// maxKnown is how many indexes are remembered, and maxOfNetwork how many of one network.
	maxKnown     = 256
	maxOfNetwork = 4
	// countedMost is after how many answers old ones count half.
	countedMost = 64
	// mostAlone is for how long an index is left alone at most ([health.Index]): a day, and a quarter by jitter.
	mostAlone = 30 * time.Hour
)

// Known is an index, or what was said to be one, and how it stands. It is kept over restarts.
type Known struct {
	URL     string `json:"url"`               // by which it is dialled, normalised
	Key     string `json:"key,omitempty"`     // of its announcement, hex
	Network string `json:"network,omitempty"` // that its address lies in: IPv4 /24, IPv6 /48, or an address of loopback
	Via     string `json:"via"`               // "dht", "config", or the URL of the index that named it

	FirstSeen int64 `json:"first_seen"`         // Unix seconds, as all times here
	Verified  int64 `json:"verified,omitempty"` // when it last showed that it is an index; 0 is never
	Delivered int   `json:"delivered"`          // how often its answer was the newest valid one
	Missed    int   `json:"missed"`             // how often another index had a newer one, or one at all

	Failures int   `json:"failures,omitempty"` // in a row
	NextTry  int64 `json:"next_try,omitempty"`
	Lied     bool  `json:"lied,omitempty"` // one of these failures was no silence
}

// Proven reports whether an index has shown by what it delivered that it is worth asking: most newcomers have not, and
// who is asked for much and has little is none the better for having had something once.
func (k Known) Proven() bool { return k.Delivered > 0 && k.Missed <= 4*k.Delivered }

// LeftAlone reports whether an index must not be asked at a time.
func (k Known) LeftAlone(now time.Time) bool {
	return k.state(now).LeftAlone(now)
}

// state is how an index does at a time, but for what a clock has written that was ahead.
func (k Known) state(now time.Time) health.State {
	return health.Stored(k.Failures, contract.Believe(k.NextTry, now.Unix(), mostAlone))
}

// Believe forgets the times that cannot be so at now, in Unix seconds; whoever reads what was kept calls it.
func (k *Known) Believe(now int64) {
	k.FirstSeen, k.Verified = contract.Believe(k.FirstSeen, now, 0), contract.Believe(k.Verified, now, 0)
	k.NextTry = contract.Believe(k.NextTry, now, mostAlone)
}

// Standing is how an index stands, in a word.
type Standing string

const (
	StandingProven   Standing = "proven"   // see [Known.Proven]
	StandingNewcomer Standing = "newcomer" // it has shown that it is an index, and nothing more
	StandingNamed    Standing = "named"    // others name it; it has not been reached yet
	StandingSilent   Standing = "silent"   // it does not answer, and is left alone
	StandingLied     Standing = "lied"     // it sent what is forged, from the future, or not asked for, and is left alone
)

// Standings returns all of them.
func Standings() []Standing {
	return []Standing{StandingProven, StandingNewcomer, StandingNamed, StandingSilent, StandingLied}
}

// Standing returns how an index stands at a time.
func (k Known) Standing(now time.Time) Standing {
	switch {
	case k.LeftAlone(now) && k.Lied:
		return StandingLied
	case k.LeftAlone(now):
		return StandingSilent
	case k.Proven():
		return StandingProven
	case k.Verified > 0:
		return StandingNewcomer
	}
	return StandingNamed
}

// after returns an index after it was used; jitter is of [health.Use.Next].
func (k Known) after(event health.Event, now time.Time, jitter float64) Known {
	next := health.Index.Next(k.state(now), event, now, jitter)
	k.Failures, k.NextTry = next.Failures, next.Unix()
	k.Lied = k.Failures > 0 && (k.Lied || event == health.Refused)
	return k
}

// counted returns an index after its answer was compared with those of others.
func (k Known) counted(o Outcome) Known {
	switch o {
	case Delivered:
		k.Delivered++
	case Missed:
		k.Missed++
	default:
		return k
	}
	if k.Delivered+k.Missed > countedMost {
		k.Delivered, k.Missed = (k.Delivered+1)/2, k.Missed/2
	}
	return k
}

// Bounded returns the indexes that are worth remembering, best first: those that were proven, those that have shown that they
// are indexes, those that were named by the operator always, of each network a few.
func Bounded(all []Known) []Known {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Known) int {
		return cmp.Or(
			order(a.Via == ViaConfig, b.Via == ViaConfig), order(a.Proven(), b.Proven()), cmp.Compare(b.Verified, a.Verified),
			cmp.Compare(a.Failures, b.Failures), cmp.Compare(a.FirstSeen, b.FirstSeen), cmp.Compare(a.URL, b.URL),
		)
	})
	networks := map[string]int{}
	all = slices.DeleteFunc(all, func(k Known) bool {
		networks[k.Network]++
		return k.Via != ViaConfig && k.Network != "" && networks[k.Network] > maxOfNetwork
	})
	return all[:min(len(all), maxKnown)]
}

// order sorts what holds first.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// How an index became known; else it is the URL of the index that named it.
const (
	ViaDHT    = "dht"
	ViaConfig = "config"
)
