package main

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestGoalsAreReadFromWhatIsPrinted(t *testing.T) {
	got := goals(strings.NewReader(`| 200 notes | p50 ms |
goal p50 over a direct query, times: 9.95 (want <= 7) short
a goal is missed
goal new events/s/core: through NATS: 1.026e+04 (want >= 10000) ok
goal CPU of strfry: not measured, since it is not there
goal rate: 3 events/s (want >= 2) ok
`+strings.Repeat("x", 2<<20)), "bench-x")
	want := []row{
		{"bench-x", "p50 over a direct query, times", "9.95", "<= 7", "short"},
		{"bench-x", "new events/s/core: through NATS", "1.026e+04", ">= 10000", "ok"},
		{"bench-x", "CPU of strfry: not measured, since it is not there", "not a line of a goal", "-", "short"},
		{"bench-x", "rate: 3 events/s (want >= 2) ok", "not a line of a goal", "-", "short"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestATargetThatEndsOtherwiseIsShort(t *testing.T) {
	ok, short := row{verdict: "ok"}, row{verdict: "short"}
	failed := exec.Command("false").Run()
	for _, tc := range []struct {
		of   []row
		err  error
		more bool
	}{
		{[]row{ok}, nil, false},
		{[]row{ok, short}, failed, false},
		{[]row{ok}, failed, true},
		{nil, nil, true},
		{[]row{short}, errors.New("signal"), true},
	} {
		if got := verdicts("t", tc.of, tc.err); (len(got) > len(tc.of)) != tc.more {
			t.Errorf("%v ended with %v: %v", tc.of, tc.err, got)
		}
	}
	var out strings.Builder
	if n := table(&out, verdicts("t", []row{ok, short}, errors.New("x"))); n != 2 {
		t.Errorf("%d goals are missed in\n%s", n, &out)
	}
}
