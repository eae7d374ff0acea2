package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// heartbeat keeps proxies from closing a stream on which nothing comes.
const heartbeat = 15 * time.Second

// Overview is what the first page tells; its JSON is stable.
type Overview struct {
	*Pipeline

	Summary Summary   `json:"summary"`
	Health  []Finding `json:"health"` // what is wrong comes first
}

// overview puts together what is known; failed is why the reading is not new.
func overview(p *Pipeline, s Summary, failed error) Overview {
	s.underWay(p.Workers)
	return Overview{p, s, diagnose(p, s, failed)}
}

// pipelineView is an overview with what only the page needs.
type pipelineView struct {
	Overview

	Charts map[string]chart `json:"-"` // by stage
	Past   chart            `json:"-"`
	Failed string           `json:"-"` // why the figures are old
}

// Look reads an overview without a console: it counts everything that is stored the
// first time, and later, given what it returned, only what was written since.
func Look(ctx context.Context, js jetstream.JetStream, before *Looked) (*Looked, error) {
	if before == nil {
		before = &Looked{counter: newCounter(js, countedBuckets())}
	}
	if err := before.counter.catchUp(ctx); err != nil {
		return nil, err
	}
	p, err := read(ctx, js, before.Pipeline)
	if err != nil {
		return nil, err
	}
	return &Looked{overview(p, before.counter.summary(), nil), before.counter}, nil
}

// Looked is an overview, and what the next [Look] goes on from.
type Looked struct {
	Overview

	counter *counter
}

// In is how much a consumer's stream grows.
func (v pipelineView) In(consumer string) *float64 {
	for _, s := range v.Stages {
		for _, q := range s.Queues {
			if q.Consumer == consumer {
				return q.In
			}
		}
	}
	return nil
}

// Wrong is what is not as it must be.
func (v Overview) Wrong() []Finding { return v.which(false) }

// Right is what is as it must be.
func (v Overview) Right() []Finding { return v.which(true) }

func (v Overview) which(ok bool) []Finding {
	return slices.DeleteFunc(slices.Clone(v.Health), func(f Finding) bool { return f.OK != ok })
}

// X is where the column of a stage has its middle, in percent.
func (pipelineView) X(stage int) int { return 30 + 20*stage }

// Shown are the buckets whose size people want to know.
func (pipelineView) Shown() []string {
	return []string{contract.BucketAuthors, contract.BucketRecords, contract.BucketRelays, contract.BucketLinks}
}

// Wanted is how many notes are being looked for, or will be again.
func (v Overview) Wanted() uint64 {
	for _, s := range v.Stages {
		if s.Name == contract.StageFetcher {
			return s.Lag + s.Later
		}
	}
	return 0
}

// Found are the notes that were found within the last hour.
func (v Overview) Found() uint64 { return v.Outcomes[events.SubjectNoteFound] }

// Lost are the notes that were looked for in vain within the last hour.
func (v Overview) Lost() uint64 { return v.Outcomes[events.SubjectNoteLost] }

// Hour is what came out in the last hour.
func (v pipelineView) Hour() (list []Figure) {
	for what, subject := range map[string]string{
		"records put": events.SubjectRecordPublished, "lists looked up": events.SubjectRecordResolved, "syncs": events.SubjectSyncFinished,
		"notes found": events.SubjectNoteFound, "notes not found": events.SubjectNoteLost,
	} {
		list = append(list, Figure{What: what, Count: v.Outcomes[subject], Link: "/outcomes?what=" + subject})
	}
	slices.SortFunc(list, func(a, b Figure) int { return strings.Compare(b.Link, a.Link) })
	return list
}

func (c *Console) pipeline(r *http.Request) (any, error) {
	p, err := c.latest(r.Context())
	if problem := (*pageError)(nil); errors.As(err, &problem) || err != nil && wantsJSON(r) {
		return nil, err
	}
	return c.view(p, err), nil // the page says so, beside what was known last
}

// latest reads the pipeline; where that fails it is as it was known last, or empty.
func (c *Console) latest(ctx context.Context) (*Pipeline, error) {
	p, err := c.feed.now(ctx)
	if err != nil {
		if p, _ = c.feed.state(); p == nil {
			p = &Pipeline{At: time.Now()}
		}
	}
	return p, err
}

// view puts together what the page shows; failed is why the reading is not new.
func (c *Console) view(p *Pipeline, failed error) pipelineView {
	now := time.Now()
	v := pipelineView{
		Overview: overview(p, c.counter.summary(), failed), Charts: charts(c.feed.history(), now), Past: c.yesterday(now),
	}
	if failed != nil {
		v.Failed = failed.Error()
	}
	return v
}

// minutes is the span of the charts of stages.
var minutes = span{"", 20 * time.Second, 30}

// charts draws rate and lag of each stage over the last minutes that somebody watched.
func charts(history []*Pipeline, now time.Time) map[string]chart {
	out := map[string]chart{}
	begin := minutes.begin(now)
	for i, stage := range contract.Stages() {
		rates, lags := make([]float64, minutes.columns), make([]float64, minutes.columns)
		readings, columns := make([]int, minutes.columns), make([]column, minutes.columns)
		for _, p := range history {
			at := int(p.At.Sub(begin) / minutes.step)
			if p.At.Before(begin) || at >= minutes.columns {
				continue
			}
			lags[at] = max(lags[at], float64(p.Stages[i].Lag))
			if rate := p.Stages[i].Rate; rate != nil {
				rates[at] += *rate
				readings[at]++
			}
		}
		for at := range columns {
			columns[at] = column{X: at, Tells: begin.Add(time.Duration(at) * minutes.step).UTC().Format("15:04:05")}
			if readings[at] == 0 {
				rates[at], lags[at], columns[at].Class = math.NaN(), math.NaN(), "gap"
				continue
			}
			rates[at] /= float64(readings[at])
			columns[at].Tells += ", " + rateText(&rates[at]) + " /s, lag " + count(uint64(lags[at]))
		}
		out[stage] = minutes.draw("Rate and lag of "+stage+" over the last ten minutes; the figures above are their newest", begin, columns,
			series{"lag", "lag", lags, 0}, series{"rate", "rate", rates, 0})
	}
	return out
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()/100) / 10 }

// events streams the figures of the pipeline, as HTML that replaces the
// page's, until the browser leaves or the process stops.
func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	ctx, evict := context.WithCancel(r.Context())
	defer evict()
	free, ok := c.streams.take(r, evict)
	if !ok {
		c.fail(w, r, &pageError{http.StatusServiceUnavailable, errFull.Error()})
		return
	}
	defer free()
	news, leave, err := c.feed.watch()
	if err != nil {
		c.fail(w, r, &pageError{http.StatusServiceUnavailable, err.Error()})
		return
	}
	defer leave()
	stream := http.NewResponseController(w)
	_ = stream.SetReadDeadline(time.Time{}) // that of the whole request
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold it back
	if stream.Flush() != nil {       // it is open before there is news
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			_ = stream.SetWriteDeadline(time.Now().Add(writeTimeout))
			_, err = fmt.Fprint(w, ": still here\n\n")
		case <-news:
			_ = stream.SetWriteDeadline(time.Now().Add(writeTimeout))
			err = c.tell(w)
		}
		if err == nil {
			err = stream.Flush()
		}
		if err != nil {
			return // the browser has left
		}
	}
}

// tell sends the newest reading as one message.
func (c *Console) tell(w http.ResponseWriter) error {
	p, failed := c.feed.state()
	if p == nil {
		return nil
	}
	var body bytes.Buffer
	if err := c.views["pipeline"].ExecuteTemplate(&body, "figures", c.view(p, failed)); err != nil {
		return err
	}
	var message strings.Builder
	for line := range strings.Lines(body.String()) {
		if line = strings.TrimSpace(line); line != "" {
			message.WriteString("data: " + line + "\n")
		}
	}
	_, err := fmt.Fprintf(w, "%s\n", message.String())
	return err
}
