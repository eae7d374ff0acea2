package run

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// startPlain runs a relay of others that knows no NIP-77 and shows at most 100
// events to one REQ.
func startPlain(t *testing.T, list []nostr.Event) string {
	t.Helper()
	dir := os.Getenv("NIP77_INTEROP")
	if dir == "" {
		t.Skip("needs npm packages: make test-interop installs them")
	}
	cmd := exec.CommandContext(t.Context(), "node", "plain.mjs")
	cmd.Dir, cmd.Stderr = dir, t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // the test's end may have killed it
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url = strings.TrimSpace(url)
	hometest.Publish(t, url, list...)
	return url
}

// A relay that others wrote and that speaks NIP-01 only is listed page by page
// instead, in every direction. Three events share each second, and a page of
// 100 ends within one.
func TestSyncWithPlainRelay(t *testing.T) {
	all := signed()
	ours, theirs := all[:400], all[250:]
	for name, way := range map[string]struct {
		down, up   bool
		ours, they []nostr.Event
		toUs, toIt int
	}{
		"both ways": {true, true, all, all, 200, 250},
		"down":      {true, false, all, theirs, 200, 0},
		"up":        {false, true, ours, all, 0, 250},
	} {
		t.Run(name, func(t *testing.T) {
			plain, home := startPlain(t, theirs), hometest.Start(t, ours...)
			result, err := Sync{A: home, B: plain, Down: way.down, Up: way.up}.Run(t.Context())
			if err != nil || !result.Complete || result.Left != 0 || result.ToA != way.toUs || result.ToB != way.toIt {
				t.Errorf("%v; %+v", err, result)
			}
			if !slices.Equal(hometest.IDsAt(t, home), hometest.IDsOf(way.ours...)) {
				t.Error("our relay has other events")
			}
			// It shows 100 at a time, so each is asked for.
			c := hometest.Dial(t, plain)
			var has []string
			for ids := range slices.Chunk(hometest.IDsOf(all...), 100) {
				for e, err := range c.Query(t.Context(), nostr.Filter{IDs: ids}) {
					if err != nil {
						t.Fatal(err)
					}
					has = append(has, e.ID)
				}
			}
			slices.Sort(has)
			if !slices.Equal(has, hometest.IDsOf(way.they...)) {
				t.Errorf("the plain relay has %d events, want %d", len(has), len(way.they))
			}
		})
	}
}
