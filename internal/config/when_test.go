package config_test

import (
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
)

func TestParseWhen(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for text, want := range map[string]int64{
		"0": 0, "1600000000": 1_600_000_000, "1h": 1_699_996_400,
		"2020-11-07": 1_604_707_200, "2020-11-07T01:00:00+01:00": 1_604_707_200,
	} {
		if got, err := config.ParseWhen(text, now); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "-1h", "12x", "yesterday"} {
		if got, err := config.ParseWhen(text, now); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}
