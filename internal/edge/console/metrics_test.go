package console

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// The metrics are the figures of the first page, zeros included, and none before all was counted.
func TestTheFiguresAreMetrics(t *testing.T) {
	w := newWorld(t)
	w.known()
	w.put(contract.BucketLost, key(1), contract.Lost{Why: "nobody has it"})
	if n := testutil.CollectAndCount(w.console); n != 0 {
		t.Errorf("%d metrics before all was counted", n)
	}
	if err := w.console.counter.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.page("/")
	const want = `
# HELP relaymesh_records Records on the DHT, by state.
# TYPE relaymesh_records gauge
relaymesh_records{state="kept"} 1
relaymesh_records{state="lost"} 0
relaymesh_records{state="overdue"} 0
relaymesh_records{state="thin"} 0
relaymesh_records{state="waiting"} 0
# HELP relaymesh_relays Relays that are known, by health.
# TYPE relaymesh_relays gauge
relaymesh_relays{health="failing"} 0
relaymesh_relays{health="new"} 0
relaymesh_relays{health="ok"} 1
relaymesh_relays{health="resting"} 1
relaymesh_relays{health="silent"} 0
# HELP relaymesh_relays_complete Live relays that the local relay was proved complete with within 7 days.
# TYPE relaymesh_relays_complete gauge
relaymesh_relays_complete 1
# HELP relaymesh_notes_lost Notes that were looked for in vain and are not looked for again yet.
# TYPE relaymesh_notes_lost gauge
relaymesh_notes_lost 1
# HELP relaymesh_users_held Users with a record, by how many DHT nodes held the best of theirs.
# TYPE relaymesh_users_held gauge
relaymesh_users_held{holders="0"} 0
relaymesh_users_held{holders="1-3"} 0
relaymesh_users_held{holders="4-7"} 0
relaymesh_users_held{holders="8-12"} 1
`
	if err := testutil.CollectAndCompare(w.console, strings.NewReader(want),
		"relaymesh_records", "relaymesh_relays", "relaymesh_relays_complete", "relaymesh_notes_lost", "relaymesh_users_held"); err != nil {
		t.Error(err)
	}
}
