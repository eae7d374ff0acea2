package run

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The set of lines is compared like that of a relay, whatever their number and however
// many share a second: lists of such sizes were taken for cut short.
func TestSyncWithLines(t *testing.T) {
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	all := make([]nostr.Event, 600)
	for i := range all {
		all[i] = nostr.Event{Kind: 1, CreatedAt: 1_700_000_000, Content: strconv.Itoa(i), Tags: []nostr.Tag{}}
		if i >= 300 && i%2 == 0 {
			all[i].CreatedAt += int64(i)
		}
		if err := key.SignEvent(&all[i]); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(all, func(a, b nostr.Event) int { return strings.Compare(a.ID, b.ID) })
	for _, c := range []struct{ relay, lines, from int }{
		{0, 600, 0}, {600, 0, 0}, {20, 300, 300}, {0, 50, 0}, {0, 100, 0}, {1, 250, 100},
	} {
		for _, up := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, %d lines, up %t", c.relay, c.lines, up), func(t *testing.T) {
				t.Parallel()
				home := hometest.Start(t, all[:c.relay]...)
				var in, out bytes.Buffer
				lines := all[c.from : c.from+c.lines]
				for _, e := range lines {
					in.Write(append(nostr.Encode(e), '\n'))
				}
				result, err := Sync{A: home, B: Lines, Down: true, Up: up, In: &in, Out: &out}.Run(t.Context())
				if err != nil || !result.Complete || result.Left > 0 {
					t.Fatalf("%v; %+v", err, result)
				}
				union := hometest.IDsOf(append(slices.Clone(all[:c.relay]), lines...)...)
				if got := hometest.IDsAt(t, home); !slices.Equal(got, union) {
					t.Errorf("the relay holds %d events, want %d", len(got), len(union))
				}
				if got, want := strings.Count(out.String(), "\n"), len(union)-c.lines; up && got != want {
					t.Errorf("%d lines were written, want %d", got, want)
				}
			})
		}
	}
}
