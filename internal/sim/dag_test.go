package sim_test

import (
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestAnEventThatNamesADAGLeadsToDAGWanted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		alice := user(w.T, "alice")
		e := note(w.T, alice, "a folder", nostr.Tag{"scionic_root", dagRoot})
		w.sendEvent(e, e, note(w.T, alice, "", nostr.Tag{"scionic_root", "../../etc"}), note(w.T, alice, "", nostr.Tag{"scionic_root"}))
		time.Sleep(time.Minute)
		got := outcomes[events.DAGWanted](w, events.SubjectDAGWanted)
		if len(got) != 1 || got[0] != (events.DAGWanted{Root: dagRoot, PubKey: alice.PublicKey(), Event: e.ID}) {
			w.Errorf("told %+v, want the one DAG once", got)
		}
		w.noDeadLetters()
	})
}
