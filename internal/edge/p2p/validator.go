package p2p

import (
	"errors"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// tolerated is how many bad events of a peer are passed over before the good
// ones count.
const tolerated = 100

// validator decides which of a peer's events are taken.
type validator struct{ good, bad int }

// event parses and verifies an event. ok is false for one that is passed over;
// an error ends the session.
func (j *validator) event(text []byte, wanted func(*nostr.Event) error) (e nostr.Event, ok bool, err error) {
	if text == nil {
		err = fmt.Errorf("event: more than %d bytes", nostr.MaxEventBytes)
	} else if e, err = nostr.ParseEvent(text); err == nil {
		err = schnorr.Verify(&e)
	}
	if err == nil {
		err = wanted(&e)
	}
	if err == nil {
		j.good++
		return e, true, nil
	}
	if j.bad++; j.bad > tolerated+j.good {
		return e, false, malformed("%d of %d events were bad, the last because: %w", j.bad, j.bad+j.good, err)
	}
	return e, false, nil
}

var errUnwanted = errors.New("event: was not asked for")
