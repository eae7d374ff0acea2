package reconcile

import (
	"cmp"
	"slices"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Reason says why a relay is not given an event, or refuses a request, and who
// said so: the same words of a relay and of a rule of ours are two reasons.
// Reasons can be compared with ==. The zero Reason is a refusal without one.
type Reason struct {
	Cause Cause
	// Code is what a program goes by: a rule of ours where Cause is ByRules, and
	// where it is ByRelay a prefix of NIP-01, or NotKept. "" is free text.
	Code Code
	Text string // the words for people, shortened; "" if there are none beside Code
}

// Cause is who kept an event away from a side.
type Cause int

// The causes of a [Reason].
const (
	ByRelay   Cause = iota // the relay refuses it, or accepts and does not keep it
	BySource               // the other side lists it and does not deliver it as asked
	ByRules                // it must not be spread: protected, expired, private, ...
	ByEarlier              // Options.Refused knew
)

// Code is the part of a [Reason] that does not depend on its wording.
type Code string

// The rules of ours.
const (
	Ephemeral       Code = "ephemeral"
	FromTheFuture   Code = "from the future"
	Protected       Code = "protected (NIP-70)"
	Expired         Code = "expired (NIP-40)"
	Private         Code = "private" // a message to single people, see mayUpload
	DeletedByAuthor Code = "deleted by its author (NIP-09, NIP-62)"
	Denied          Code = "on a deny list"
)

// NotKept is what a relay shows, in whatever words: it takes an event and does
// not have it afterwards.
const NotKept Code = "accepted, but not kept"

// The machine-readable prefixes of NIP-01, that of NIP-42, and two of strfry,
// which say of an event what stays true.
const (
	prefixDuplicate    Code = "duplicate"
	PrefixPoW          Code = "pow"
	PrefixBlocked      Code = "blocked"
	PrefixRateLimited  Code = "rate-limited"
	PrefixInvalid      Code = "invalid"
	PrefixRestricted   Code = "restricted"
	PrefixMute         Code = "mute"
	PrefixError        Code = "error"
	PrefixAuthRequired Code = "auth-required"
	PrefixReplaced     Code = "replaced"
	PrefixDeleted      Code = "deleted"
)

var prefixes = []Code{
	prefixDuplicate, PrefixPoW, PrefixBlocked, PrefixRateLimited, PrefixInvalid, PrefixRestricted, PrefixMute,
	PrefixError, PrefixAuthRequired, PrefixReplaced, PrefixDeleted,
}

// GuessReason reads words of which it was not noted who said them: those of a
// rule of ours, and of [NotKept], are taken for it.
func GuessReason(words string) Reason {
	switch code := Code(words); code {
	case Ephemeral, FromTheFuture, Protected, Expired, Private, DeletedByAuthor, Denied:
		return Reason{Cause: ByRules, Code: code}
	case NotKept:
		return Reason{Cause: ByRelay, Code: code}
	}
	return ParseReason(words)
}

// ParseReason reads the words of a relay, which may be none. Only a prefix that
// is known becomes a code: "private" and "expired subscription: please pay" are
// free text, whatever rule they sound like. Behind "error", which some relays put before
// all that they say, another one may stand.
func ParseReason(words string) Reason {
	r := Reason{Cause: ByRelay, Text: Clip(words)}
	for more := true; more; more = more && r.Code == PrefixError {
		var prefix string
		prefix, words, more = strings.Cut(words, ":")
		code := Code(strings.ToLower(strings.TrimSpace(prefix)))
		if !slices.Contains(prefixes, code) {
			break
		}
		r.Code = code
	}
	return r
}

// String is the reason in words.
func (r Reason) String() string { return cmp.Or(r.Text, string(r.Code), "refused without a reason") }

// Passes decides whether a reason is about the moment and not the event.
func (r Reason) Passes() bool {
	return r.Cause == ByRelay && (r.Code == PrefixRateLimited || r.Code == PrefixError)
}

// Clip makes what a relay says fit for a log, an error, a terminal or a store: short,
// and without characters that act instead of being seen.
func Clip(words string) string { return nostr.Printable(words, 200) }

// Reply is a relay's answer to an event that is written to it. The zero Reply
// is no answer.
type Reply struct {
	Outcome Outcome
	Reason  Reason // where it is Refused
}

// Outcome is what became of an event that is written to a relay.
type Outcome int

// The outcomes of a write.
const (
	Unanswered Outcome = iota // it is not known
	Stored
	Duplicate // the relay has had the event before
	Refused   // with a reason or without
)

// ParseReply reads the OK of NIP-01. Only true says that an event was taken; "OK
// false" without a word is a refusal like any other, unless the words are that
// the relay has the event.
func ParseReply(accepted bool, words string) Reply {
	reason := ParseReason(words)
	switch {
	case reason.Code == prefixDuplicate:
		return Reply{Outcome: Duplicate}
	case accepted:
		return Reply{Outcome: Stored}
	}
	return Refuse(reason)
}

// Refuse is a refusal.
func Refuse(why Reason) Reply { return Reply{Outcome: Refused, Reason: why} }

// Kept reports whether the relay says that it has the event.
func (r Reply) Kept() bool { return r.Outcome == Stored || r.Outcome == Duplicate }
