package index

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The infohashes are those of the specification: anybody can compute them.
func TestInfohashes(t *testing.T) {
	at := time.Unix(1_800_000_000, 0) // in week 2976, which ends at 1,800,489,600
	list := Infohashes(at)
	if got := hex.EncodeToString(list[0][:]); len(list) != 16 || got != "434cf8f54e45ec4ddc7f81e03fa585496f7d154f" {
		t.Errorf("%d, the first is %s", len(list), got)
	}
	if got := hex.EncodeToString(list[8][:]); got != "12d74e2882e4b8c1df6bf65530d69a16f720f472" {
		t.Errorf("the first of the week is %s", got)
	}
	next := Infohashes(at.Add(week))
	for i := range list {
		if fixed := i < fixedHashes; (list[i] == next[i]) != fixed {
			t.Errorf("infohash %d a week later: the same is %t, want %t", i, !fixed, fixed)
		}
	}
	end := time.Unix(1_800_000_000/604_800*604_800+604_800, 0)
	for what, c := range map[string]struct {
		at   time.Time
		want int
	}{
		"in the midst of a week":    {end.Add(-7 * time.Hour), 16},
		"seven seconds before that": {end.Add(-ahead - 7*time.Second), 16},
		"in its last hours":         {end.Add(-ahead), 24},
		"in its last second":        {end.Add(-time.Second), 24},
		"at the start of the next":  {end, 16},
	} {
		got := Announced(c.at)
		if len(got) != c.want || !slices.Equal(got[:16], Infohashes(c.at)) || c.want == 24 && !slices.Equal(got[16:], Infohashes(end)[8:]) {
			t.Errorf("%s: %d infohashes, want %d", what, len(got), c.want)
		}
	}
}

func known(network, delivered, missed int) Known {
	return Known{
		URL: fmt.Sprintf("ws://8.8.%d.%d:4848", network, delivered), Network: strconv.Itoa(network), Via: ViaDHT, Verified: 1,
		Delivered: delivered, Missed: missed,
	}
}

// However many newcomers there are, two of the first three are proven ones; one is a newcomer. No two are of one network.
func TestChoose(t *testing.T) {
	now := time.Unix(start, 0)
	var all []Known
	for i := range 500 {
		all = append(all, known(1000+i, 0, i%3))
	}
	for i := range 10 {
		all = append(all, known(i, 5, 1), known(i, 6, 1))
	}
	all = append(all, Known{URL: "ws://8.8.8.8:1", Network: "never reached", Via: ViaDHT})
	away := known(77, 99, 0).after(health.Refused, now, 0)
	all = append(all, away)
	for range 100 {
		chosen := Choose(all, askedMost, now, rand.IntN)
		networks := map[string]bool{}
		for i, k := range chosen {
			if networks[k.Network] = true; k.Proven() == (i == 2 || i == 4) || k.URL == away.URL || k.Verified == 0 {
				t.Errorf("in place %d is %+v", i, k)
			}
		}
		if len(chosen) != askedMost || len(networks) != askedMost {
			t.Errorf("chosen are %d of %d networks", len(chosen), len(networks))
		}
	}
	if got := Choose(all[:500], 3, now, rand.IntN); len(got) != 3 {
		t.Errorf("of newcomers alone are chosen %d", len(got))
	}
	if got := Choose(all[500:502], 3, now, rand.IntN); len(got) != 1 {
		t.Errorf("of one network are chosen %d", len(got))
	}
	if !slices.ContainsFunc(Choose(all, 3, now.Add(31*24*time.Hour), rand.IntN), Known.Proven) {
		t.Error("no proven one a month later")
	}
}

// What is remembered is bounded; proven ones and those that the operator named stay, newcomers of one network give way.
func TestBounded(t *testing.T) {
	var all []Known
	for i := range 2000 {
		k := known(i%10, 0, 0)
		k.URL, k.Verified = fmt.Sprintf("ws://9.%d.%d.9:80", i/200, i%200), int64(i)
		all = append(all, k)
	}
	for i := range 1000 {
		all = append(all, known(100+i, 0, 0))
	}
	good, named := known(5, 9, 0), Known{URL: "wss://index.example", Via: ViaConfig}
	all = append(all, good, named)
	got := Bounded(all)
	networks := map[string]int{}
	for _, k := range got {
		networks[k.Network]++
	}
	if len(got) != maxKnown || got[0] != named || got[1] != good || networks["5"] > maxOfNetwork {
		t.Errorf("%d remembered, first %+v", len(got), got[:2])
	}
	if all[0].URL != "ws://9.0.0.9:80" {
		t.Error("the caller's list was changed")
	}
}

// Standing is lost by missing much, and answers of long ago count little.
func TestStanding(t *testing.T) {
	k := known(1, 0, 0)
	if k.Proven() {
		t.Error("a newcomer is proven")
	}
	for range 100 {
		k = k.counted(Delivered)
	}
	if !k.Proven() || k.Delivered > countedMost {
		t.Errorf("after 100 lists: %+v", k)
	}
	missed := 0
	for ; k.Proven() && missed < 1000; missed++ {
		k = k.counted(Missed)
	}
	if missed > 3*countedMost {
		t.Errorf("it took %d misses to lose standing", missed)
	}
	if k.counted(Nothing) != k {
		t.Error("an answer beside which nobody had anything counts")
	}
}

// An index that did not answer while the clock was a year ahead is asked again when it is right, and waits as any other then.
func TestNoIndexIsLeftAloneByAClockThatWasAhead(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ahead, k := now.AddDate(1, 0, 0), known(1, 0, 0)
	for range 40 {
		k = k.after(health.Failed, ahead, 0.999)
		ahead = time.Unix(k.NextTry, 0)
	}
	if before := ahead.Add(-time.Hour); !k.LeftAlone(before) {
		t.Error("it is not left alone by the clock by which it failed")
	}
	if k.LeftAlone(now) {
		t.Error("it is left alone for a year")
	}
	if k = k.after(health.Failed, now, 0); !k.LeftAlone(now) || k.NextTry > now.Add(mostAlone).Unix() {
		t.Errorf("after another failure it is left alone until %s", time.Unix(k.NextTry, 0))
	}
	k.Verified, k.FirstSeen = ahead.Unix(), ahead.Unix()
	if k.Believe(now.Unix()); k.Verified != 0 || k.FirstSeen != 0 || k.NextTry == 0 {
		t.Errorf("what was kept is read as %+v", k)
	}
}

func TestSampleTakesOneOfEachNetwork(t *testing.T) {
	var named []Candidate
	for i := range 1000 {
		named = append(named, Candidate{fmt.Sprintf("ws://9.9.9.%d:80", i), "9.9.9.0/24"})
	}
	named = append(named, Candidate{"ws://8.8.8.8:80", "8.8.8.0/24"})
	tried := map[string]bool{}
	if got := Sample(named, 8, tried, rand.IntN); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	if got := Sample(named, 8, tried, rand.IntN); len(got) != 0 {
		t.Errorf("again got %v", got)
	}
	if got := Sample(named, 0, map[string]bool{}, rand.IntN); len(got) != 0 {
		t.Errorf("of none got %v", got)
	}
}

// Half are those that most nodes name, however many others there are; the others are drawn from all.
func TestSampleBeginsWithWhomMostNodesName(t *testing.T) {
	var named []Candidate
	for i := range 1000 {
		named = append(named, Candidate{URL: strconv.Itoa(i), Network: strconv.Itoa(i)})
	}
	drawn := map[string]bool{}
	for range 500 {
		got := Sample(named, 8, map[string]bool{}, rand.IntN)
		if len(got) != 8 || !slices.Equal(got[:4], named[:4]) {
			t.Fatalf("got %v", got)
		}
		for _, c := range got[4:] {
			drawn[c.URL] = true
		}
	}
	if len(drawn) < 500 {
		t.Errorf("%d of 996 others were drawn in 2000 draws", len(drawn))
	}
}

// The newest valid event wins, at equal times the lower id; what its author ended is no list; who sent what is told apart.
func TestJudge(t *testing.T) {
	author, other := key(1), key(2)
	older, newest := list(author, start-100, "older"), list(author, start-50, "newest")
	twin := list(author, start-50, "twin")
	if twin.ID < newest.ID {
		newest, twin = twin, newest
	}
	future, foreign := list(author, start+nostr.MaxFuture+1, "future"), list(other, start-10, "foreign")
	ahead := list(author, start+nostr.MaxFuture, "a little ahead")
	event := func(kind int, at int64, tags ...nostr.Tag) nostr.Event {
		e := nostr.Event{Kind: kind, PubKey: author, CreatedAt: at, Tags: tags}
		e.ID = e.Hash()
		return e
	}
	address := "10002:" + author + ":"
	deleted, earlier := event(5, start-50, nostr.Tag{"a", address}), event(5, start-51, nostr.Tag{"a", address})
	byID, ofOlder := event(5, start-40, nostr.Tag{"e", newest.ID}), event(5, start-40, nostr.Tag{"e", older.ID})
	vanished, here := event(62, start, nostr.Tag{"relay", "ALL_RELAYS"}), event(62, start, nostr.Tag{"relay", "wss://one.example"})
	for what, c := range map[string]struct {
		answers [][]nostr.Event
		list    string
		ended   bool
		want    []Outcome
	}{
		"newest wins":              {[][]nostr.Event{{older}, {newest}, {}}, newest.ID, false, []Outcome{Missed, Delivered, Missed}},
		"the lower id wins":        {[][]nostr.Event{{twin}, {newest}}, newest.ID, false, []Outcome{Missed, Delivered}},
		"nobody has one":           {[][]nostr.Event{{}, {}}, "", false, []Outcome{Nothing, Nothing}},
		"the future does not":      {[][]nostr.Event{{future}, {older}}, older.ID, false, []Outcome{Lied, Delivered}},
		"a little ahead counts":    {[][]nostr.Event{{ahead}, {newest}}, ahead.ID, false, []Outcome{Delivered, Missed}},
		"another's does not":       {[][]nostr.Event{{foreign}, {older}}, older.ID, false, []Outcome{Lied, Delivered}},
		"deleted":                  {[][]nostr.Event{{newest}, {deleted}}, "", true, []Outcome{Missed, Delivered}},
		"deleted before":           {[][]nostr.Event{{newest, earlier}}, newest.ID, false, []Outcome{Delivered}},
		"deleted by id":            {[][]nostr.Event{{newest}, {byID}}, "", true, []Outcome{Missed, Delivered}},
		"an older one was deleted": {[][]nostr.Event{{newest, ofOlder}}, newest.ID, false, []Outcome{Delivered}},
		"vanished":                 {[][]nostr.Event{{newest}, {vanished}}, "", true, []Outcome{Missed, Delivered}},
		"vanished from one relay":  {[][]nostr.Event{{newest, here}}, newest.ID, false, []Outcome{Delivered}},
	} {
		var answers []Answer
		for _, events := range c.answers {
			answers = append(answers, Answer{Events: events})
		}
		got := Judge(author, []int{10002}, answers, start)
		if got.Lists[10002].ID != c.list || got.Ended[10002] != c.ended || !slices.Equal(got.Outcomes, c.want) {
			t.Errorf("%s: %+v, want %s, ended %t, %v", what, got, c.list, c.ended, c.want)
		}
	}
	failed := Judge(author, []int{10002}, []Answer{{Failed: true}, {Failed: true, Lied: true}, {Events: []nostr.Event{older}}}, start)
	if !slices.Equal(failed.Outcomes, []Outcome{Failed, Lied, Delivered}) {
		t.Errorf("failures come to %v", failed.Outcomes)
	}
	profile := nostr.Event{Kind: 0, PubKey: author, CreatedAt: start, Tags: []nostr.Tag{}}
	profile.ID = profile.Hash()
	two := Judge(author, []int{0, 10002}, []Answer{{Events: []nostr.Event{profile}}, {Events: []nostr.Event{newest, profile}}}, start)
	if len(two.Lists) != 2 || !slices.Equal(two.Outcomes, []Outcome{Missed, Delivered}) {
		t.Errorf("two kinds: %+v", two)
	}
}

// An announcement is read back as it was written, and one that is none, old or not of a list index is refused.
func TestAnnouncements(t *testing.T) {
	a := Announcement{URL: "wss://index.example", Key: key(3), Kinds: []int{0, 10002, 10050}}
	e := a.Event(start)
	got, err := ReadAnnouncement(e, false, start+60)
	if err != nil || got.URL != a.URL || got.Key != a.Key || !slices.Equal(got.Kinds, a.Kinds) {
		t.Errorf("got %+v, %v", got, err)
	}
	change := func(f func(*nostr.Event)) nostr.Event {
		e := a.Event(start)
		f(&e)
		return e
	}
	for what, bad := range map[string]nostr.Event{
		"another kind":        change(func(e *nostr.Event) { e.Kind = 30078 }),
		"another type":        change(func(e *nostr.Event) { e.Tags[1] = nostr.Tag{"T", "PublicInbox"} }),
		"no URL":              change(func(e *nostr.Event) { e.Tags[0] = nostr.Tag{"d"} }),
		"a private URL":       change(func(e *nostr.Event) { e.Tags[0] = nostr.Tag{"d", "ws://10.0.0.1:80"} }),
		"31 days old":         change(func(e *nostr.Event) { e.CreatedAt = start - 31*24*3600 }),
		"an hour ahead":       change(func(e *nostr.Event) { e.CreatedAt = start + 3600 }),
		"large":               change(func(e *nostr.Event) { e.Content = strings.Repeat("x", maxAnnouncement) }),
		"no kind 10002":       Announcement{URL: a.URL, Key: a.Key, Kinds: []int{0}}.Event(start),
		"no kind that is one": Announcement{URL: a.URL, Key: a.Key, Kinds: []int{-1, 70000}}.Event(start),
	} {
		if got, err := ReadAnnouncement(bad, false, start); err == nil {
			t.Errorf("%s: read as %+v", what, got)
		}
	}
}
