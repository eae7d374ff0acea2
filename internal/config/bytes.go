package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Bytes is a size that people write with its unit: 500MB, 2GB, 1.5GiB. 0 is not set.
type Bytes int64

var units = []struct {
	name string
	size float64
}{
	{"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}, {"TIB", 1 << 40}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// UnmarshalText reads a size.
func (b *Bytes) UnmarshalText(text []byte) error {
	word := strings.ToUpper(strings.TrimSpace(string(text)))
	if word == "" {
		*b = 0
		return nil
	}
	for _, unit := range units {
		number, is := strings.CutSuffix(word, unit.name)
		if !is {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(n >= 0 && n*unit.size < 1<<62) {
			break
		}
		*b = Bytes(n * unit.size)
		return nil
	}
	return fmt.Errorf("%q: want a size with its unit, such as 500MB, 2GB or 1.5GiB", text)
}

// String writes a size as [Bytes.UnmarshalText] reads it; "" is not set.
func (b Bytes) String() string {
	for _, unit := range []struct {
		name string
		size Bytes
	}{{"GB", 1e9}, {"MB", 1e6}} {
		if b > 0 && b%unit.size == 0 {
			return fmt.Sprintf("%d%s", b/unit.size, unit.name)
		}
	}
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%dB", int64(b))
}
