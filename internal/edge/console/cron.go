package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
)

// cronSpecs reads the stored schedules of some subjects (1000 at most) of one
// stream.
func cronSpecs(ctx context.Context, js jetstream.JetStream, stream string, subjects []string) (map[string]cronSpec, error) {
	out := map[string]cronSpec{}
	if len(subjects) == 0 {
		return out, nil
	}
	stored, prefix := make([]string, len(subjects)), bus.PrefixOf(js)
	for i, subject := range subjects {
		stored[i] = prefix.Subject(contract.PrefixSchedule + subject)
	}
	messages, err := jetstreamext.GetLastMsgsFor(ctx, js, prefix.Name(stream), stored)
	if err != nil {
		return nil, fmt.Errorf("schedules of %s: %w", stream, err)
	}
	for m, err := range messages {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("schedules of %s: %w", stream, err)
		}
		if t, ok := parseCron(m.Header.Get("Nats-Schedule")); ok {
			out[strings.TrimPrefix(prefix.PlainSubject(m.Subject), contract.PrefixSchedule)] = t
		}
	}
	return out, nil
}

// cronSpec is a cron expression as [contract.Cron] writes it: when something comes
// again.
type cronSpec struct{ seconds, minutes, hours []int }

// parseCron reads six fields: lists or * for second, minute and hour, and * for
// the rest.
func parseCron(cron string) (t cronSpec, ok bool) {
	fields := strings.Fields(cron)
	if len(fields) != 6 {
		return t, false
	}
	for i, field := range []*[]int{&t.seconds, &t.minutes, &t.hours} {
		for part := range strings.SplitSeq(fields[i], ",") {
			if part == "*" {
				break // an empty list
			}
			n, err := strconv.Atoi(part)
			if err != nil {
				return t, false
			}
			*field = append(*field, n)
		}
	}
	return t, len(t.seconds) > 0 && fields[3] == "*" && fields[4] == "*" && fields[5] == "*"
}

// after returns the first time of the cron expression that is not before from, in
// Unix seconds; 0 if there is none.
func (t cronSpec) after(from time.Time) int64 {
	from = from.UTC()
	const aDay = 24 * 60
	for i := range aDay + 1 {
		m := from.Truncate(time.Minute).Add(time.Duration(i) * time.Minute)
		if !among(t.minutes, m.Minute()) || !among(t.hours, m.Hour()) {
			continue
		}
		for _, second := range slices.Sorted(slices.Values(t.seconds)) {
			if at := m.Add(time.Duration(second) * time.Second); !at.Before(from.Truncate(time.Second)) {
				return at.Unix()
			}
		}
	}
	return 0
}

func among(list []int, n int) bool { return len(list) == 0 || slices.Contains(list, n) }
