package bep44_test

import (
	"math"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

func TestScanValueSplitsOneValueOff(t *testing.T) {
	value, rest, err := bep44.ScanValue([]byte("d1:ali1e1:xeei5e"))
	if err != nil || string(value) != "d1:ali1e1:xee" || string(rest) != "i5e" {
		t.Errorf("got %q, %q, %v", value, rest, err)
	}
}

func TestDecodeIntTakesOneCanonicalInteger(t *testing.T) {
	for text, want := range map[string]int64{
		"i0e": 0, "i-1e": -1, "i9223372036854775807e": math.MaxInt64, "i-9223372036854775808e": math.MinInt64,
	} {
		if got, err := bep44.DecodeInt([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "i", "ie", "i1", "i1ee", "i01e", "i-0e", "i9223372036854775808e", "1:x", "li1ee"} {
		if n, err := bep44.DecodeInt([]byte(text)); err == nil {
			t.Errorf("accepted %q as %d", text, n)
		}
	}
}
