package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// sync has a client, which holds these events, sync with a relay in both
// directions, and returns what it sent and received.
func sync(t *testing.T, dir, url string, holds []nostr.Event, script string, args ...string) (sent, received []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{script, url}, args...)...)
	cmd.Dir = dir
	var in, out bytes.Buffer
	for _, e := range holds {
		if err := json.NewEncoder(&in).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, t.Output()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	var report struct{ Sent, Received []string }
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	slices.Sort(report.Sent)
	slices.Sort(report.Received)
	return report.Sent, report.Received
}

// Clients that others wrote end up with what our relay has, and it with what
// they have, whatever differs and whatever the size of their messages.
func TestClientsOfOthersSyncWithOurRelay(t *testing.T) {
	dir := os.Getenv("NIP77_INTEROP")
	if dir == "" {
		t.Skip("needs npm packages: see the package documentation")
	}
	all := hometest.Notes(900)
	clients := map[string][]string{
		"nostr-tools, no frame limit":       {"nostr-tools.mjs", "1000000000"},
		"nostr-tools, frame limit of 4,096": {"nostr-tools.mjs", "4096"},
		"rust-nostr":                        {"rust-nostr.mjs"},
	}
	for name, client := range clients {
		for differing, part := range map[string]struct{ theirs, ours [2]int }{
			"both have something": {[2]int{0, 600}, [2]int{250, 900}},
			"the client has more": {[2]int{0, 900}, [2]int{0, 870}},
			"the client is empty": {[2]int{}, [2]int{0, 400}},
			"our relay is empty":  {[2]int{0, 300}, [2]int{}},
			"both have the same":  {[2]int{0, 300}, [2]int{0, 300}},
		} {
			t.Run(name+"/"+differing, func(t *testing.T) {
				theirs, ours := all[part.theirs[0]:part.theirs[1]], all[part.ours[0]:part.ours[1]]
				without := func(list, other []nostr.Event) []string {
					known := hometest.IDsOf(other...)
					return slices.DeleteFunc(hometest.IDsOf(list...), func(id string) bool { return slices.Contains(known, id) })
				}
				url := hometest.Start(t, ours...)
				sent, received := sync(t, dir, url, theirs, client[0], client[1:]...)
				if want := without(theirs, ours); !slices.Equal(sent, want) {
					t.Errorf("it sent %d, want %d", len(sent), len(want))
				}
				if want := without(ours, theirs); !slices.Equal(received, want) {
					t.Errorf("it received %d, want %d", len(received), len(want))
				}
				union := hometest.IDsOf(slices.Concat(theirs, ours)...)
				if got := hometest.IDsAt(t, url); !slices.Equal(got, union) {
					t.Errorf("our relay has %d, want %d", len(got), len(union))
				}
			})
		}
	}
}
