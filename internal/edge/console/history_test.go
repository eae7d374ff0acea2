package console

import (
	"context"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// atSlot is a time in the middle of a slot of the history, so that no slot ends in a test.
func atSlot(ago time.Duration) time.Time {
	return time.Now().Add(-ago).Truncate(contract.HistoryEvery).Add(time.Minute)
}

func (w *world) keepAt(at time.Time, f contract.Figures) {
	w.Helper()
	f.At = at.Unix()
	w.put(contract.BucketHistory, contract.HistoryKey(at.Unix()), f)
}

// What a console counts is kept, once, whoever else runs; and another console tells it.
func TestFiguresAreKeptOnceByWhoeverRuns(t *testing.T) {
	w := newWorld(t)
	w.known()
	now := atSlot(0)
	for range 2 {
		if err := w.console.counter.catchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.console.keep(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		w.put(contract.BucketAuthors, key(1), contract.Author{}) // the figures after that would be others
	}
	if n := w.State("KV_" + contract.BucketHistory); n.Msgs != 1 || n.LastSeq != 1 {
		t.Errorf("%d values are kept, written %d times", n.Msgs, n.LastSeq)
	}
	other := New(w.console.js, Options{})
	if err := other.counter.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	past := other.counter.history.past(lastDay, lastDay.begin(now))
	last := past[len(past)-1]
	if last == nil || last.Users != 1 || last.Findable != 1 || last.Live != 1 || last.Complete != 1 || len(last.Lags) != 4 ||
		strings.Join(last.Wrong, " ") != "process of ingest process of dhtworker process of syncworker process of fetcher" {
		t.Errorf("kept are %+v", last)
	}
}

// A console that runs keeps its figures by itself, without anybody who looks.
func TestAConsoleThatRunsKeepsFigures(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.console.Run(ctx) }()
	for w.State("KV_"+contract.BucketHistory).Msgs == 0 {
		if t.Context().Err() != nil {
			t.Fatal("nothing is kept")
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Pages tell what was; where nothing was kept is a gap, and strangers' names are text.
func TestTheHistoryTellsValuesAndGaps(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	step := lastDay.step
	begin := lastDay.begin(now)
	w.keepAt(begin.Add(2*step), contract.Figures{
		Users: 12, Findable: 9, Live: 4, Complete: 3, Lags: map[string]uint64{"ingest": 70}, Wrong: []string{"DHT"},
	})
	w.keepAt(begin.Add(2*step+10*time.Minute), contract.Figures{
		Users: 12, Findable: 12, Live: 4, Complete: 4, Wrong: []string{"tail of " + hostile},
	})
	w.keepAt(begin.Add(3*step), contract.Figures{Users: 12, Findable: 6, Live: 4, Complete: 4})
	w.keepAt(begin.Add(6*step), contract.Figures{Users: 12, Findable: 6})
	w.keepAt(begin.Add(-time.Hour), contract.Figures{Users: 99, Findable: 1})
	w.keepAt(now.Add(300*24*time.Hour), contract.Figures{Users: 98}) // of a clock that is off
	for _, rubbish := range []string{"rubbish", "-1", "99999999999999999999", contract.HistoryKey(begin.Unix())} {
		w.put(contract.BucketHistory, rubbish, "rubbish")
	}
	if err := w.console.counter.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	past := w.console.counter.history.past(lastDay, begin)
	if past[1] != nil || past[4] != nil || past[2].Findable != 12 || len(past[2].Wrong) != 2 || lag(*past[2]) != 70 {
		t.Errorf("the past is %+v", past[:7])
	}
	c := w.console.yesterday(now)
	if c.Lines[0].Path != "M2.5 2L3.5 50M6.5 50h.01" {
		t.Errorf("findable is drawn as %s", c.Lines[0].Path)
	}
	for i, class := range []string{"gap", "gap", "wrong", "", "gap"} {
		if c.Columns[i].Class != class {
			t.Errorf("column %d is %+v", i, c.Columns[i])
		}
	}
	page := w.page("/")
	at := begin.Add(2 * step).UTC().Format("2 Jan 15:04")
	for _, want := range []string{
		at + ", 12 of 12 users findable, proved with 4 of 4 live relays, wrong: tail of &lt;script&gt;", ", DHT</title>",
		begin.UTC().Format("2 Jan 15:04") + ", nothing is known", begin.UTC().Format("15:04"),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the first page does not say %q", want)
		}
	}
	for _, name := range []string{"day", "week", "month"} {
		if page := w.page("/history?span=" + name); strings.Count(page, "<svg") != 6 || strings.Contains(page, "<script>alert") ||
			!strings.Contains(page, "6 of 12 users findable") || strings.Contains(page, "98 users") {
			t.Errorf("the history of a %s is %s", name, page)
		}
		v := ask[struct{ Points []contract.Figures }](w, "/history?span="+name)
		if n := len(v.Points); n == 0 || v.Points[n-1].Users != 12 {
			t.Errorf("points of a %s are %+v", name, v.Points)
		}
	}
	if rec := w.do(http.MethodGet, "/history?span=year", ""); rec.Code != http.StatusBadRequest {
		t.Errorf("a year is answered %d", rec.Code)
	}
}

// The first page does not wait while what is stored is being counted.
func TestTheHistoryDoesNotWaitForCounts(t *testing.T) {
	w := newWorld(t)
	w.console.counter.mu.Lock()
	defer w.console.counter.mu.Unlock()
	shown := make(chan bool)
	go func() {
		w.do(http.MethodGet, "/", "")
		w.do(http.MethodGet, "/history", "")
		close(shown)
	}()
	select {
	case <-shown:
	case <-time.After(time.Minute):
		t.Fatal("a page waits for the counts")
	}
}

// Axes have their times before there is anything to show.
func TestAxesHaveTimesFromTheFirstPaint(t *testing.T) {
	w := newWorld(t)
	begin := minutes.begin(time.Now())
	page := w.page("/")
	found := false
	for i := range 3 { // a column may begin meanwhile
		found = found || strings.Contains(page, "<span>"+begin.Add(time.Duration(i)*minutes.step).UTC().Format("15:04")+"</span>")
	}
	if !found || strings.Count(page, " UTC</span>") != 5 {
		t.Errorf("the page has no times: %s", page)
	}
}

func TestCurvesBreakAtGaps(t *testing.T) {
	gap := math.NaN()
	for want, values := range map[string][]float64{
		"":                         {},
		"M0.5 98L1.5 2":            {0, 10},
		"M1.5 50h.01":              {gap, 5, gap},
		"M0.5 2h.01M2.5 50L3.5 98": {10, gap, 5, 0},
		"M0.5 2L1.5 98":            {1e300, -5},
	} {
		if got := curve(values, 10); got != want {
			t.Errorf("%v is %s, want %s", values, got, want)
		}
	}
	if top := minutes.draw("", time.Now(), nil, series{"", "", []float64{gap, 3, 7}, 0}).Legend[0].Top; top != "7.0" {
		t.Errorf("the top is %s", top)
	}
}
