package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/demo"
)

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want int
		says string
	}{
		{[]string{"--help"}, run.ExitOK, ""},
		{[]string{"--nonsense"}, run.ExitUsage, "unknown flag --nonsense"},
		{[]string{"--program", "/none"}, run.ExitUsage, "/none"},
		{[]string{"--program", "/bin/true", "--events", "/dev/null"}, run.ExitUsage, "no events, 0 lines that cannot be read"},
		{[]string{"--program", "/bin/true", "--step-timeout", "1s", "--json"}, run.ExitFailed, "couldn't build the world"},
	} {
		var stdout, stderr strings.Builder
		if code := execute(tc.args, &stdout, &stderr); code != tc.want || !strings.Contains(stderr.String(), tc.says) {
			t.Errorf("%q: exit code %d, want %d; stderr %q, want %q", tc.args, code, tc.want, stderr.String(), tc.says)
		}
		if report := (demo.Report{}); tc.want == run.ExitFailed && (json.Unmarshal([]byte(stdout.String()), &report) != nil || report.OK) {
			t.Errorf("%q: no report, or a good one: %q", tc.args, stdout.String())
		}
	}
}
