package syncing

import (
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

const day = 24 * time.Hour

// remembered is how long a refusal stands, by who said so and by the code: what
// is about the event itself stays true, a relay's policy may change tomorrow. The
// code "" stands for all others, free text and no reason at all among them.
var remembered = map[reconcile.Cause]map[reconcile.Code]time.Duration{
	reconcile.ByRules: {reconcile.FromTheFuture: time.Hour, reconcile.Denied: day, "": 30 * day},
	reconcile.ByRelay: {
		reconcile.PrefixInvalid: 30 * day, reconcile.PrefixPoW: 30 * day,
		reconcile.PrefixReplaced: 30 * day, reconcile.PrefixDeleted: 30 * day,
		reconcile.NotKept: 7 * day,
		"":                day,
	},
}

// keepFor decides how long it is remembered that an event was refused.
func keepFor(why reconcile.Reason) time.Duration {
	of := remembered[why.Cause]
	if d, ok := of[why.Code]; ok {
		return d
	}
	return of[""]
}

// Who said a [contract.Refused.Why].
const (
	byRules = "rules"
	byRelay = "relay"
)

// refusedBy makes the value that remembers a refusal.
func refusedBy(r reconcile.Refusal, now int64) contract.Refused {
	by := byRelay
	if r.Cause == reconcile.ByRules {
		by = byRules
	}
	return contract.Refused{Local: r.To == side(true), Why: reconcile.Clip(r.String()), By: by, At: now}
}

// stillRefused decides whether a value is to be gone by at now. Values of before
// By lie for as long as their words had sounded, which may be a month for a
// policy: they are read anew.
func stillRefused(r contract.Refused, now int64) bool {
	return r.By != "" || r.At+int64(keepFor(reconcile.GuessReason(r.Why)).Seconds()) > now
}
