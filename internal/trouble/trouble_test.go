package trouble_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/trouble"
)

// One line when it begins, one each quarter of an hour, one when it ends, and the
// same again when it comes back.
func TestWhatLastsIsToldOfNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		away := trouble.Trouble{Log: slog.New(slog.NewTextHandler(&text, nil)), Begins: "waiting for it", Ends: "it is back"}
		lines := func(want ...string) {
			t.Helper()
			got := strings.Split(strings.TrimSpace(text.String()), "\n")
			text.Reset()
			if len(want) == 0 {
				want = []string{""}
			}
			if len(got) != len(want) {
				t.Fatalf("logged %q, want %d lines", got, len(want))
			}
			for i, part := range want {
				if !strings.Contains(got[i], part) {
					t.Errorf("logged %q, want %q", got[i], part)
				}
			}
		}
		for range 2 {
			away.Note(t.Context(), nil)
			lines()
			for range 35 * 60 {
				away.Note(t.Context(), errors.New("gone"), "url", "u")
				time.Sleep(time.Second)
			}
			lines("level=WARN msg=\"waiting for it\" url=u err=gone", "wait=15m0s", "wait=30m0s")
			if !away.Lasts() {
				t.Error("it does not last")
			}
			away.Note(t.Context(), nil, "url", "u")
			lines("level=WARN msg=\"it is back\" url=u wait=35m0s")
			if away.Lasts() {
				t.Error("it lasts")
			}
		}
	})
}
