package run

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

func TestTheMostParticularRuleHolds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.yaml")
	write := func(text string) rules {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := config.OpenStreams(path, false, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return rules{file, config.Syncing{Mentions: true, Kinds: []int{7}}}
	}
	flags := write("sync-every: 1h").of("wss://x.example.com")
	if len(flags) != 1 || !flags[0].Writers || !flags[0].Mentions || flags[0].Named || flags[0].Direction != reconcile.Down ||
		flags[0].Filter.Kinds[0] != 7 {
		t.Errorf("by the flags: %+v", flags)
	}
	r := write("streams: {a: {urls: [wss://a.example.com], dir: both}, " +
		"b: {urls: [wss://a.example.com], filter: {kinds: [1]}, since: 720h}, c: {writers: false}}")
	both := r.of("wss://a.example.com")
	if len(both) != 2 || !both[0].Named || both[0].Direction != reconcile.Both || both[0].Mentions || both[1].Filter.Kinds[0] != 1 {
		t.Errorf("by name: %+v", both)
	}
	if at := both[1].Filter.Since; at%(24*3600) != 0 || time.Since(time.Unix(at, 0)) < 720*time.Hour ||
		time.Since(time.Unix(at, 0)) > 744*time.Hour {
		t.Errorf("since 720 hours ago is %d", at)
	}
	moment := write("streams: {a: {urls: [wss://a.example.com], since: 2026-01-01, until: 2026-01-01}}").of("wss://a.example.com")[0].Filter
	if moment.Since != 1767225600 || moment.Until != moment.Since {
		t.Errorf("one moment is %d to %d", moment.Since, moment.Until)
	}
	for text, want := range map[string][2]int64{
		"filter: {since: 5, until: 9}": {5, 9}, "filter: {since: 5}, until: 9": {5, 9}, "filter: {until: 0}": {0, -1}, "until: 0": {0, -1},
	} {
		f := write("streams: {a: {urls: [wss://a.example.com], " + text + "}}").of("wss://a.example.com")[0].Filter
		if f.Since != want[0] || f.Until != want[1] {
			t.Errorf("%s: from %d to %d", text, f.Since, f.Until)
		}
	}
	others := r.of("wss://x.example.com")
	if len(others) != 1 || others[0].Writers || others[0].Named || !others[0].Mentions || others[0].Filter.Kinds != nil {
		t.Errorf("of the others: %+v", others)
	}
	if urls, cause := r.named(); len(urls) != 1 || !strings.HasPrefix(cause, "config:") {
		t.Errorf("named are %v, %s", urls, cause)
	}
}
