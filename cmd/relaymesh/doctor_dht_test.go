package main

import (
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/run"
)

// doctor says how all list indexes stand that are known, and names the best.
func TestDoctorSaysHowListIndexesStand(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	silent := run.KnownIndex{URL: "wss://silent.example", Verified: 1, Failures: 2, NextTry: now.Unix() + 60}
	lied := run.KnownIndex{URL: "wss://lied.example", Failures: 2, NextTry: now.Unix() + 60, Lied: true}
	for want, c := range map[string]struct {
		known  []run.KnownIndex
		usable bool
	}{
		"0 known": {nil, false},
		"2 known (1 silent, 1 lied), among them wss://silent.example (silent, delivered 0, missed 0)": {[]run.KnownIndex{silent, lied}, false},
		"3 known (1 proven, 1 named, 1 lied), among them wss://a.example (proven, delivered 9, missed 2)": {
			[]run.KnownIndex{{URL: "wss://a.example", Verified: 1, Delivered: 9, Missed: 2}, {URL: "wss://b.example"}, lied}, true,
		},
	} {
		if got, usable := stand(c.known, now); got != want || usable != c.usable {
			t.Errorf("got %q, %t, want %q", got, usable, want)
		}
	}
}
