package config

import (
	"fmt"
	"strconv"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
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
	if err == nil && unix >= 0 {
		return unix, nostr.CheckTimestamp(unix)
	}
	return 0, fmt.Errorf("%q is neither Unix seconds, nor a date, nor a time like 2006-01-02T15:04:05Z, nor a duration like 72h", text)
}

// checkPeriod says that no event can ever match, because one bound in time excludes
// the other. What is no time is told elsewhere.
func checkPeriod(since, until string) error {
	now := time.Now()
	from, sinceErr := ParseWhen(since, now)
	to, untilErr := ParseWhen(until, now)
	_, sinceAgo := time.ParseDuration(since)
	_, untilAgo := time.ParseDuration(until)
	moves := (sinceAgo == nil) != (untilAgo == nil) // against each other, with time
	if sinceErr == nil && untilErr == nil && !moves && from > to {
		return fmt.Errorf("since: %s is after until, %s, so that no event can match", since, until)
	}
	return nil
}
