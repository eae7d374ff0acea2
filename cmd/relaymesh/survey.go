package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/obs"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

type surveyCmd struct {
	remote
	Start bool `help:"Have all slices surveyed now: the relays that are due are asked."`
	JSON  bool `help:"Print one JSON object per slice, and one per relay."`
}

// surveyedSlice is what the command prints of a slice; its fields are stable.
type surveyedSlice struct {
	Slice   string `json:"slice"`
	Authors int    `json:"authors"`
	Passed  int64  `json:"passed"`  // Unix seconds
	Relays  int    `json:"relays"`  // that were asked
	Whole   int    `json:"whole"`   // of them, compared in whole within 7 days
	Yielded int    `json:"yielded"` // events that came
	Bytes   int64  `json:"bytes"`   // of the day of Passed, about
	Why     string `json:"why,omitempty"`
}

// surveyedRelay is the same of a relay, over all slices.
type surveyedRelay struct {
	URL     string `json:"url"`
	Slices  int    `json:"slices"`
	At      int64  `json:"at"`      // of the last look
	Whole   int    `json:"whole"`   // slices that were compared in whole within 7 days
	Proved  int    `json:"proved"`  // of them, by NIP-77
	Yielded int    `json:"yielded"` // events that came from it
	Fault   string `json:"fault,omitempty"`
}

// Run prints what the survey has come to.
func (c *surveyCmd) Run(ctx context.Context, o *output) (err error) {
	js, err := c.connect(ctx, o)
	if err != nil {
		return err
	}
	defer disconnect(js, &err)
	surveys, err := run.OpenStore[contract.Survey](ctx, js, contract.BucketSurveys, obs.NewLogger(o.err, "warn"))
	if err != nil {
		return err
	}
	var list []surveyedSlice
	relays := map[string]*surveyedRelay{}
	fresh := time.Now().Add(-7 * 24 * time.Hour).Unix()
	err = surveys.Each(ctx, "*", func(slice string, s contract.Survey) error {
		if !s.Split {
			list = append(list, sliceOf(slice, s, fresh, relays))
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b surveyedSlice) int { return cmp.Compare(a.Slice, b.Slice) })
	if c.Start {
		return startSurvey(ctx, js, o, list)
	}
	known, err := run.OpenStore[contract.Relay](ctx, js, contract.BucketRelays, obs.NewLogger(o.err, "warn"))
	if err != nil {
		return err
	}
	var rows []*surveyedRelay
	for key, r := range relays {
		doc, found, err := known.Get(ctx, key)
		if err != nil {
			return err
		}
		if found {
			r.URL, r.Fault = doc.URL, doc.SurveyFault
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b *surveyedRelay) int {
		return cmp.Or(cmp.Compare(b.Yielded, a.Yielded), cmp.Compare(a.URL, b.URL))
	})
	return c.print(o, list, rows)
}

// sliceOf sums up a slice, and adds its looks to those of the relays.
func sliceOf(slice string, s contract.Survey, fresh int64, relays map[string]*surveyedRelay) surveyedSlice {
	is := surveyedSlice{Slice: slice, Authors: s.Authors, Passed: s.Passed, Relays: len(s.Looks), Bytes: s.Bytes, Why: s.Why}
	for key, l := range s.Looks {
		r := relays[key]
		if r == nil {
			r = &surveyedRelay{}
			relays[key] = r
		}
		r.Slices++
		r.At = max(r.At, l.At)
		r.Yielded += l.All
		is.Yielded += l.All
		if l.Whole && l.At >= fresh {
			is.Whole++
			r.Whole++
			if !l.Paged {
				r.Proved++
			}
		}
	}
	return is
}

// startSurvey has slices surveyed, that of all authors if there is none yet.
func startSurvey(ctx context.Context, js jetstream.JetStream, o *output, list []surveyedSlice) error {
	if len(list) == 0 {
		list = []surveyedSlice{{Slice: contract.SurveyRoot}}
	}
	for _, s := range list {
		if _, err := js.Publish(ctx, contract.SurveyDueSubject(s.Slice), nostr.Encode(contract.SurveyDue{Slice: s.Slice})); err != nil {
			return fmt.Errorf("couldn't start the survey of slice %s: %w", s.Slice, err)
		}
	}
	_, err := fmt.Fprintf(o.out, "%d slices are due\n", len(list))
	return err
}

func (c *surveyCmd) print(o *output, list []surveyedSlice, rows []*surveyedRelay) error {
	if c.JSON {
		for _, s := range list {
			if err := o.json(s); err != nil {
				return err
			}
		}
		for _, r := range rows {
			if err := o.json(r); err != nil {
				return err
			}
		}
		return nil
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(o.out, "nothing was surveyed yet")
		return err
	}
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SLICE\tAUTHORS\tLAST PASS\tRELAYS\tWHOLE IN 7 DAYS\tEVENTS\tMIB THAT DAY\tWHY")
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\t%.1f\t%s\n", s.Slice, s.Authors, when(s.Passed), s.Relays, s.Whole, s.Yielded,
			float64(s.Bytes)/(1<<20), printable(s.Why))
	}
	fmt.Fprintln(w, "\nRELAY\tLAST LOOK\tSLICES\tWHOLE IN 7 DAYS\tPROVED\tEVENTS\tFAULT")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\n", printable(r.URL), when(r.At), r.Slices, r.Whole, r.Proved, r.Yielded,
			printable(strings.TrimSpace(r.Fault)))
	}
	return w.Flush()
}
