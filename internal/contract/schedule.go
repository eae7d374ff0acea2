package contract

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Cron returns the six-field cron expression (UTC, JetStream's scheduler,
// ADR-51) that fires every so often at a phase hashed from key, so that many
// keys spread over the period and keep their place after an outage; @every
// would let them all fire in the same second for ever after.
//
// every must divide a minute, an hour or a day and be whole seconds, minutes
// or hours respectively: 10s, 15m, 1h, 6h.
func Cron(key string, every time.Duration) (string, error) {
	h := fnv.New64a()
	h.Write([]byte(key))
	return cronAt(time.Duration(h.Sum64()%uint64(max(every/time.Second, 1)))*time.Second, every)
}

// cronAt is Cron with a given phase.
func cronAt(phase, every time.Duration) (string, error) {
	sec, minute, hour := int(phase/time.Second)%60, int(phase/time.Minute)%60, int(phase/time.Hour)
	switch {
	case divides(every, time.Second, time.Minute):
		return cronList(sec, int(every/time.Second), 60) + " * * * * *", nil
	case divides(every, time.Minute, time.Hour):
		return fmt.Sprintf("%d %s * * * *", sec, cronList(minute, int(every/time.Minute), 60)), nil
	case divides(every, time.Hour, 24*time.Hour):
		return fmt.Sprintf("%d %d %s * * *", sec, minute, cronList(hour, int(every/time.Hour), 24)), nil
	}
	return "", fmt.Errorf("interval %s: must divide a minute, an hour or a day, such as 10s, 15m, 1h or 6h", every)
}

func divides(every, unit, whole time.Duration) bool {
	return every >= unit && every%unit == 0 && whole%every == 0
}

func cronList(first, step, end int) string {
	if step == end {
		return strconv.Itoa(first)
	}
	var b strings.Builder
	for v := first; v < end; v += step {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(v))
	}
	return b.String()
}

// RecordSchedules returns the schedules that make every slice of the DHT's
// keyspace due once per interval, and at least once an hour, because records
// may be due sooner than the interval says. There are 256 slices and they come
// in their order, so that the work goes through the keyspace once like a hand
// round a clock, at an even pace.
func RecordSchedules(every time.Duration) ([]Output, error) {
	const slices = 256
	if _, err := Cron("", every); err != nil {
		return nil, fmt.Errorf("refresh %w", err)
	}
	every = min(every, time.Hour)
	out := make([]Output, slices)
	for i := range out {
		slice := fmt.Sprintf("%02x", i)
		cron, err := cronAt(every*time.Duration(i)/slices, every)
		if err != nil {
			return nil, fmt.Errorf("refresh %w", err)
		}
		out[i] = Output{Subject: RecordDueSubject(slice), Data: nostr.Encode(RecordDue{Slice: slice}), Cron: cron}
	}
	return out, nil
}
