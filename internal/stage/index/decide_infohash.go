package index

import (
	"crypto/sha1" //nolint:gosec // BEP 5 names what is announced by it
	"strconv"
	"time"
)

const (
	fixedHashes  = 8
	weeklyHashes = 8
	week         = 7 * 24 * time.Hour
	// ahead is how long before a week its infohashes are announced, so that they are full when it begins.
	ahead = 6 * time.Hour
)

// Infohashes returns those under which indexes are found at a time: 8 that never change and 8 of the week, which scatter who
// wants to fill them.
func Infohashes(now time.Time) [][20]byte {
	var list [][20]byte
	for n := range fixedHashes {
		list = append(list, infohash(n, ""))
	}
	return append(list, ofWeek(now)...)
}

// Announced returns the infohashes under which an index announces itself at a time: [Infohashes], and in the last hours of a
// week those of the next one, too.
func Announced(now time.Time) [][20]byte {
	list := Infohashes(now)
	if soon := now.Add(ahead); soon.Unix()/int64(week.Seconds()) != now.Unix()/int64(week.Seconds()) {
		list = append(list, ofWeek(soon)...)
	}
	return list
}

func ofWeek(at time.Time) (list [][20]byte) {
	number := strconv.FormatInt(at.Unix()/int64(week.Seconds()), 10)
	for n := range weeklyHashes {
		list = append(list, infohash(fixedHashes+n, ":"+number))
	}
	return list
}

func infohash(n int, suffix string) [20]byte {
	return sha1.Sum([]byte("nostr:list-index:1:" + strconv.Itoa(n) + suffix)) //nolint:gosec // see above
}
