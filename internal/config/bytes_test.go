package config_test

import (
	"testing"

	"github.com/relaymesh/relaymesh/internal/config"
)

func TestBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Bytes{
		"": 0, "2GB": 2e9, "2 gb": 2e9, "1.5GiB": 3 << 29, "500MB": 5e8, "7B": 7, "1TiB": 1 << 40, "64KiB": 64 << 10, "12kb": 12000,
	} {
		var b, again config.Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q: %d, %v, want %d", text, b, err, want)
		}
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Errorf("%q: written as %q, which is %d, %v", text, b, again, err)
		}
	}
	for _, text := range []string{"2", "GB", "-1GB", "2XB", "1e30GB", "NaNGB", "infGB", "2 000 MB"} {
		var b config.Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: took it for %d", text, b)
		}
	}
}
