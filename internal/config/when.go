package config

import (
	"fmt"
	"strconv"
	"time"
)

// ParseWhen reads a point in time as Unix seconds, a date (2006-01-02), a time
// (RFC 3339), or how long ago it is (72h).
func ParseWhen(text string, now time.Time) (int64, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return now.Add(-ago).Unix(), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Unix(), nil
		}
	}
	unix, err := strconv.ParseInt(text, 10, 64)
	if err != nil || unix < 0 {
		return 0, fmt.Errorf("%q is neither Unix seconds, nor a date, nor a time like 2006-01-02T15:04:05Z, nor a duration like 72h", text)
	}
	return unix, nil
}
