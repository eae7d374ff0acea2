package schnorr

import (
	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// good remembers the signatures found good last, of this process: the pipeline in one
// process meets an event as a relay's answer, at ingest and at the embedded relay.
// 2 x 8192 of about 150 bytes are 2.5 MiB.
var good recent.Map[signature, struct{}]

// signature is all that a verdict depends on, whole: nothing else can have the same.
type signature struct {
	id, key [32]byte
	sig     [64]byte
}

func signatureOf(e *nostr.Event) (s signature, ok bool) {
	return s, decode(s.id[:], e.ID) && decode(s.key[:], e.PubKey) && decode(s.sig[:], e.Sig)
}

// Verified reports whether this process has found the signature of an event good
// lately. Its shape and id must have been checked, as [nostr.ParseEvent] does.
func Verified(e *nostr.Event) bool {
	s, ok := signatureOf(e)
	if ok {
		_, ok = good.Get(s)
	}
	return ok
}

// remember keeps that a signature is good.
func remember(e *nostr.Event) {
	if s, ok := signatureOf(e); ok {
		good.Put(s, struct{}{})
	}
}
