package console

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// mostWrong bounds how many names of what is wrong are kept of one time, and nameLength
// each of them, in characters.
const (
	mostWrong  = 16
	nameLength = 60
)

// keep writes how all stands now, unless that is written already: of several consoles the
// first that comes does, and where none can, there is a gap. All has been counted before.
func (c *Console) keep(ctx context.Context, now time.Time) error {
	s := c.counter.summary()
	p, err := c.feed.now(ctx)
	if err != nil {
		return err
	}
	bucket, err := kv.Open[contract.Figures](ctx, c.js, contract.BucketHistory)
	if err != nil {
		return err
	}
	is := overview(p, s, nil).figures(now)
	_, err = bucket.Update(ctx, contract.HistoryKey(now.Unix()), func(_ contract.Figures, written bool) (contract.Figures, bool) {
		return is, !written
	})
	return err
}

func (v Overview) figures(now time.Time) contract.Figures {
	s := v.Summary
	f := contract.Figures{
		At: now.Unix(), Users: s.Users.All, Findable: s.Users.Findable, Lost: s.Records[recordLost],
		Live: s.Proved.Live, Complete: s.Proved.Complete, Failing: s.Proved.Failing, Missing: s.Proved.Missing,
		Wanted: v.Wanted(), Found: v.Found(), InVain: v.Lost(), Lags: map[string]uint64{},
	}
	for _, stage := range v.Stages {
		f.DeadLetters += stage.DeadLetters
		f.Lags[stage.Name] = stage.Lag
	}
	for _, wrong := range v.Wrong() {
		if len(f.Wrong) < mostWrong {
			f.Wrong = append(f.Wrong, text(nameLength, wrong.Name))
		}
	}
	return f
}

// moment is a column of a span: the last figures of its time, with the largest lag and all
// that was wrong in it; nil is a gap.
type moment = *contract.Figures

// keptTimes is how many times figures are kept of.
const keptTimes = int64(contract.HistoryFor / contract.HistoryEvery)

// history is a ring of what was kept. Pages do not wait for it while users are counted.
type history struct {
	mu   sync.Mutex
	ring [keptTimes]struct {
		slot int64
		is   contract.Figures
	}
}

// apply is that of [facts]; the caller holds h.mu. What a clock wrote that was ahead is left out.
func (h *history) apply(_, key string, data []byte, now int64) {
	slot, err := strconv.ParseInt(key, 10, 64)
	if err != nil || slot < 0 || slot > now/int64(contract.HistoryEvery/time.Second)+1 {
		return
	}
	if is, err := nostr.Decode[contract.Figures](data); err == nil && slot >= h.ring[slot%keptTimes].slot {
		h.ring[slot%keptTimes].slot, h.ring[slot%keptTimes].is = slot, is
	}
}

// past finds the figures of a span that begins at a time.
func (h *history) past(s span, begin time.Time) []moment {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]moment, s.columns)
	for i := range out {
		for at := begin.Add(time.Duration(i) * s.step); at.Before(begin.Add(time.Duration(i+1) * s.step)); at = at.Add(contract.HistoryEvery) {
			slot := at.Unix() / int64(contract.HistoryEvery/time.Second)
			if kept := h.ring[slot%keptTimes]; kept.slot == slot {
				out[i] = together(out[i], kept.is)
			}
		}
	}
	return out
}

// together adds later figures to those of a moment.
func together(before moment, is contract.Figures) moment {
	if before == nil {
		return &is
	}
	if lag(*before) > lag(is) {
		is.Lags = before.Lags
	}
	for _, name := range before.Wrong {
		if !slices.Contains(is.Wrong, name) && len(is.Wrong) < mostWrong {
			is.Wrong = append(slices.Clip(is.Wrong), name)
		}
	}
	return &is
}

// lag is how many messages waited or were in work.
func lag(f contract.Figures) (all uint64) {
	for _, n := range f.Lags {
		all += n
	}
	return all
}

// The spans of the page, and that of the first page.
var (
	spans   = []span{{"day", 15 * time.Minute, 96}, {"week", time.Hour, 168}, {"month", 4 * time.Hour, 180}}
	lastDay = span{"", 30 * time.Minute, 48}
)

// columnsOf makes the columns of moments: what tells, after the time, what was wrong after that.
func (s span) columnsOf(begin time.Time, moments []moment, tell func(contract.Figures) string) []column {
	out := make([]column, len(moments))
	for i, m := range moments {
		out[i] = column{X: i, Class: "gap", Tells: begin.Add(time.Duration(i) * s.step).UTC().Format("2 Jan 15:04")}
		if m == nil {
			out[i].Tells += ", nothing is known"
			continue
		}
		out[i].Class = ""
		out[i].Tells += ", " + tell(*m)
		if len(m.Wrong) > 0 {
			out[i].Class = "wrong"
			out[i].Tells += ", wrong: " + text(mostWrong*nameLength, strings.Join(m.Wrong, ", "))
		}
	}
	return out
}

// valuesOf are those of a line.
func valuesOf(moments []moment, value func(contract.Figures) float64) []float64 {
	out := make([]float64, len(moments))
	for i, m := range moments {
		if out[i] = math.NaN(); m != nil {
			out[i] = value(*m)
		}
	}
	return out
}

func percent(part, whole int) float64 {
	if whole == 0 {
		return math.NaN()
	}
	return 100 * float64(part) / float64(whole)
}

func findable(f contract.Figures) float64 { return percent(f.Findable, f.Users) }
func complete(f contract.Figures) float64 { return percent(f.Complete, f.Live) }

func tellFindable(f contract.Figures) string {
	return fmt.Sprintf("%d of %d users findable", f.Findable, f.Users)
}

func tellComplete(f contract.Figures) string {
	return fmt.Sprintf("proved with %d of %d live relays", f.Complete, f.Live)
}

// yesterday is the chart of the first page.
func (c *Console) yesterday(now time.Time) chart {
	begin := lastDay.begin(now)
	moments := c.counter.history.past(lastDay, begin)
	columns := lastDay.columnsOf(begin, moments, func(f contract.Figures) string { return tellFindable(f) + ", " + tellComplete(f) })
	return lastDay.draw("Users findable and live relays proved complete in the last 24 hours, in percent", begin, columns,
		series{"rate", "% of users findable", valuesOf(moments, findable), 100},
		series{"lag", "% of live relays proved complete", valuesOf(moments, complete), 100})
}

type historyView struct {
	Span   string   `json:"span"`
	Spans  []span   `json:"-"`
	Charts []chart  `json:"-"`
	Points []moment `json:"points"` // oldest first, without the gaps
}

// history shows what was kept of the last day, week or month.
func (c *Console) history(r *http.Request) (any, error) {
	s := spans[0]
	if name := r.URL.Query().Get("span"); name != "" {
		i := slices.IndexFunc(spans, func(s span) bool { return s.Name == name })
		if i < 0 {
			return nil, &pageError{http.StatusBadRequest, "span: want day, week or month"}
		}
		s = spans[i]
	}
	begin := s.begin(time.Now())
	moments := c.counter.history.past(s, begin)
	v := historyView{Span: s.Name, Spans: spans, Points: slices.DeleteFunc(slices.Clone(moments), func(m moment) bool { return m == nil })}
	one := func(name string, tell func(contract.Figures) string, lines ...series) {
		v.Charts = append(v.Charts, s.draw(name, begin, s.columnsOf(begin, moments, tell), lines...))
	}
	waiting := func(f contract.Figures) float64 { return float64(lag(f)) }
	values := func(of func(contract.Figures) float64) []float64 { return valuesOf(moments, of) }
	one("Findable", tellFindable, series{"rate", "% of users", values(findable), 100})
	one("Complete", tellComplete, series{"rate", "% of live relays", values(complete), 100})
	one("Events missing", func(f contract.Figures) string { return fmt.Sprintf("%d missing", f.Missing) },
		series{"rate", "events", values(func(f contract.Figures) float64 { return float64(f.Missing) }), 0})
	one("Missing notes", func(f contract.Figures) string {
		return fmt.Sprintf("%d wanted, in the hour before %d found and %d not found", f.Wanted, f.Found, f.InVain)
	}, series{"rate", "wanted", values(func(f contract.Figures) float64 { return float64(f.Wanted) }), 0},
		series{"lag", "not found in the hour before", values(func(f contract.Figures) float64 { return float64(f.InVain) }), 0})
	one("Messages that wait or are in work", tellLags, series{"lag", "all stages", values(waiting), 0})
	one("Dead letters", func(f contract.Figures) string { return fmt.Sprintf("%d dead letters", f.DeadLetters) },
		series{"lag", "messages", values(func(f contract.Figures) float64 { return float64(f.DeadLetters) }), 0})
	return v, nil
}

func tellLags(f contract.Figures) string {
	var parts []string
	for _, stage := range contract.Stages() {
		parts = append(parts, fmt.Sprintf("%s %d", stage, f.Lags[stage]))
	}
	return strings.Join(parts, ", ")
}
