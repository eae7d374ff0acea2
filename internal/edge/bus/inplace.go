package bus

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// refusedStream says why nats-server 2.15 does not let a stream be changed like
// that, and what to do; "" if it does.
func refusedStream(have, want jetstream.StreamConfig) string {
	var why []string
	add := func(refused bool, what string) {
		if refused {
			why = append(why, what)
		}
	}
	queue := jetstream.WorkQueuePolicy
	add(have.Storage != want.Storage, fmt.Sprintf("its storage (%v)", have.Storage))
	add(have.Retention != want.Retention && (have.Retention == queue || want.Retention == queue),
		fmt.Sprintf("its retention (%v)", have.Retention))
	add(have.AllowMsgSchedules && want.Discard == jetstream.DiscardNew, "that it holds schedules")
	add(have.DenyPurge && !want.DenyPurge, "that it denies purges")
	add(have.Sealed, "that it is sealed")
	add(have.Mirror != nil, "that it is a mirror")
	if why == nil {
		return ""
	}
	return strings.Join(why, ", ") + ": stop the workers, save it if its messages matter (nats stream backup " + have.Name +
		" DIR), remove it (nats stream rm " + have.Name + "), and provision again"
}

// takenSubject says which other stream already takes a subject of s.
func takenSubject(ctx context.Context, js jetstream.JetStream, s contract.Stream) (string, error) {
	for _, subject := range s.Subjects {
		names := js.StreamNames(ctx, jetstream.WithStreamListSubject(subject))
		for name := range names.Name() {
			if name != s.Name {
				return fmt.Sprintf("stream %s takes %s: give relaymesh an account of its own in NATS, or a prefix (--nats-prefix), or that "+
					"stream other subjects", name, subject), nil
			}
		}
		if err := names.Err(); err != nil {
			return "", err
		}
	}
	return "", nil
}

// stranded says which messages nobody would take any more if a stream had these
// subjects only.
func stranded(ctx context.Context, stream jetstream.Stream, subjects []string) (string, error) {
	for _, subject := range stream.CachedInfo().Config.Subjects {
		if slices.Contains(subjects, subject) {
			continue
		}
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(subject))
		if err != nil {
			return "", err
		}
		n := 0
		for stored := range info.State.Subjects {
			if !slices.ContainsFunc(subjects, func(pattern string) bool { return matches(pattern, stored) }) {
				n++
			}
		}
		if n > 0 {
			return fmt.Sprintf("%d messages are left on %s, which it gives up: let the workers of the old version finish them, "+
				"or remove them (nats stream purge %s --subject '%s')", n, subject, info.Config.Name, subject), nil
		}
	}
	return "", nil
}

// anew says how a consumer is replaced.
func anew(c contract.Consumer) string {
	return "stop the workers, remove it (nats consumer rm " + c.Stream + " " + c.Name + "), and provision again; what waits stays"
}

// differing says in which settings two configurations differ, by their names in
// JSON: "max_bytes 1 → 2, subjects + a.b".
func differing[T any](have, want T) string {
	var list []string
	a, b := reflect.ValueOf(have), reflect.ValueOf(want)
	for i := range a.NumField() {
		if old, value := a.Field(i).Interface(), b.Field(i).Interface(); !reflect.DeepEqual(old, value) {
			name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
			list = append(list, name+" "+fromTo(old, value))
		}
	}
	return strings.Join(list, ", ")
}

// fromTo tells one value from another, and of lists what they have more and
// less.
func fromTo(have, want any) string {
	old, isList := have.([]string)
	if !isList {
		return show(have) + " → " + show(want)
	}
	var list []string
	for _, s := range want.([]string) {
		if !slices.Contains(old, s) {
			list = append(list, "+"+s)
		}
	}
	for _, s := range old {
		if !slices.Contains(want.([]string), s) {
			list = append(list, "-"+s)
		}
	}
	if list == nil {
		return "in another order"
	}
	return strings.Join(list, " ")
}

func show(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case map[string]string:
		return visible(v)
	}
	return fmt.Sprint(v)
}
