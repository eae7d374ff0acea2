package index

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// KindAnnouncement is the kind of the event in which an index says that it is one: a relay's own statement in the form of
	// NIP-66.
	KindAnnouncement = 30166
	// announcementType is the value of its T tag.
	announcementType = "ListIndex"
	// announcementAge is how old it may be, in seconds: an index signs a new one every day.
	announcementAge = 30 * 24 * 3600
	// announcementLife is after how long an index that signs no new one is forgotten (NIP-40).
	announcementLife = 7 * 24 * 3600
	maxKinds         = 64
	// maxAnnouncement bounds its JSON, in bytes: indexes keep those of others.
	maxAnnouncement = 4 << 10
)

var errNoIndex = errors.New("it says of itself nothing of a list index")

// Announcement is what an index says of itself and signs with its key.
type Announcement struct {
	URL   string // by which clients reach it, normalised
	Key   string // hex
	Kinds []int  // that it keeps
}

// Event is the announcement, to be signed with the key; now is in Unix seconds.
func (a Announcement) Event(now int64) nostr.Event {
	e := nostr.Event{Kind: KindAnnouncement, CreatedAt: now, PubKey: a.Key, Tags: []nostr.Tag{
		{"d", a.URL}, {"T", announcementType}, {"N", "1"}, {"N", "77"}, {"expiration", strconv.FormatInt(now+announcementLife, 10)},
	}}
	for _, kind := range a.Kinds {
		e.Tags = append(e.Tags, nostr.Tag{"k", strconv.Itoa(kind)})
	}
	return e
}

// passes reports whether an announcement, at now (Unix seconds), ends by itself within the time that it stands for: no
// other is kept, since keys cost nothing.
func passes(e nostr.Event, now int64) bool {
	at, err := strconv.ParseInt(e.Tag("expiration").At(1), 10, 64)
	return err == nil && at <= now+announcementLife+nostr.MaxFuture
}

// ReadAnnouncement reads an announcement whose id and signature were verified; now is in Unix seconds. The error says what it
// lacks.
func ReadAnnouncement(e nostr.Event, allowPrivate bool, now int64) (Announcement, error) {
	typed := func(t nostr.Tag) bool { return t.At(0) == "T" && t.At(1) == announcementType }
	switch {
	case e.Kind != KindAnnouncement || !slices.ContainsFunc(e.Tags, typed):
		return Announcement{}, errNoIndex
	case e.CheckTime(now) != nil || e.CreatedAt < now-announcementAge:
		return Announcement{}, errors.New("its announcement is older than 30 days, or ahead of the clock")
	case len(nostr.Encode(e)) > maxAnnouncement:
		return Announcement{}, fmt.Errorf("its announcement has more than %d bytes", maxAnnouncement)
	}
	url, err := nostr.NormalizeRelayURL(e.Tag("d").At(1), allowPrivate)
	if err != nil {
		return Announcement{}, fmt.Errorf("its announcement: %w", err)
	}
	a := Announcement{URL: url, Key: e.PubKey}
	for _, t := range e.Tags {
		kind, err := strconv.Atoi(t.At(1))
		if t.At(0) == "k" && err == nil && nostr.CheckKind(kind) == nil && len(a.Kinds) < maxKinds {
			a.Kinds = append(a.Kinds, kind)
		}
	}
	if !slices.Contains(a.Kinds, nostr.KindRelayList) {
		return Announcement{}, errors.New("its announcement says that it keeps no relay lists (kind 10002)")
	}
	return a, nil
}
