package console

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
)

// asking is how many questions one reading has open at NATS.
const asking = 8

// reading gathers the answers that make a [Pipeline].
type reading struct {
	js jetstream.JetStream

	mu        sync.Mutex
	handles   map[string]jetstream.Stream
	streams   map[string]*jetstream.StreamInfo
	consumers map[string]*jetstream.ConsumerInfo
	oldest    map[string]time.Time // by consumer, if anything waits
	later     map[string]uint64    // by stage
	problems  map[string]*Problem  // by stage
	workers   []Worker
	gateways  []Worker
}

var errNotConnected = errors.New("there is no connection to it")

// read asks JetStream how everything stands: some forty small questions, which
// any number of consoles answer alike. What can only be read by looking at
// messages is taken from the reading before, if nothing has changed.
func read(ctx context.Context, js jetstream.JetStream, before *Pipeline) (*Pipeline, error) {
	r := &reading{
		js: js, handles: map[string]jetstream.Stream{}, streams: map[string]*jetstream.StreamInfo{},
		consumers: map[string]*jetstream.ConsumerInfo{},
		oldest:    map[string]time.Time{}, later: map[string]uint64{}, problems: map[string]*Problem{},
	}
	if !js.Conn().IsConnected() { // or each question would be waited for
		return nil, errNotConnected
	}
	at := time.Now()
	first, second := []func(context.Context) error{r.running, r.beside}, []func(context.Context) error{}
	for _, s := range contract.Streams() {
		if s.Name != contract.StreamAdvisories {
			first = append(first, func(ctx context.Context) error { return r.stream(ctx, s.Name) })
		}
	}
	for _, b := range buckets() {
		first = append(first, func(ctx context.Context) error { return r.stream(ctx, "KV_"+b.Name) })
	}
	for _, c := range consumers() {
		first = append(first, func(ctx context.Context) error { return r.consumer(ctx, c) })
	}
	if err := all(ctx, first); err != nil {
		return nil, need(err)
	}
	for _, c := range consumers() {
		if r.waits(c) && !isLive(c) {
			second = append(second, func(ctx context.Context) error { return r.first(ctx, c) })
		}
	}
	errorsAt := r.errorsAt()
	if before != nil && before.errorsAt == errorsAt {
		for _, s := range before.Stages {
			r.later[s.Name], r.problems[s.Name] = s.Later, s.Error
		}
	} else {
		for _, stage := range contract.Stages() {
			second = append(second, func(ctx context.Context) error { return r.problem(ctx, stage) })
		}
	}
	if err := all(ctx, second); err != nil {
		return nil, need(err)
	}
	p := r.pipeline(at)
	p.errorsAt = errorsAt
	p.since(before)
	return p, nil
}

// consumers are those that do the work of a stage, or its work again.
func consumers() []contract.Consumer {
	return slices.DeleteFunc(contract.Consumers(), func(c contract.Consumer) bool { return c.Stream == contract.StreamAdvisories })
}

// buckets are those that hold what is known.
func buckets() []contract.Bucket {
	return slices.DeleteFunc(contract.Buckets(), func(b contract.Bucket) bool { return b.Hidden })
}

func all(ctx context.Context, questions []func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(asking)
	for _, ask := range questions {
		group.Go(func() error { return ask(ctx) })
	}
	return group.Wait()
}

func (r *reading) stream(ctx context.Context, name string) error {
	stream, err := r.js.Stream(ctx, name)
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	switch name {
	case contract.StreamDLQ, contract.StreamOutcome: // few subjects, each with its count
		if info, err = stream.Info(ctx, jetstream.WithSubjectFilter(">")); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handles[name], r.streams[name] = stream, info
	return nil
}

func (r *reading) consumer(ctx context.Context, c contract.Consumer) error {
	consumer, err := r.js.Consumer(ctx, c.Stream, c.Name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.consumers[label(c)] = consumer.CachedInfo()
	return nil
}

func (r *reading) waits(c contract.Consumer) bool {
	info := r.consumers[label(c)]
	return info.NumPending > 0 || info.NumAckPending > 0
}

// first finds the oldest message of a consumer that is not done. A stream may
// hold schedules, too, which do not count.
func (r *reading) first(ctx context.Context, c contract.Consumer) error {
	at := r.streams[c.Stream].State.FirstTime
	if len(c.Filters) == 1 { // else it holds nothing else
		m, err := r.handles[c.Stream].GetMsg(ctx, 1, jetstream.WithGetMsgSubject(bus.PrefixOf(r.js).Subject(c.Filters[0])))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil // done meanwhile
		}
		if err != nil {
			return err
		}
		at = m.Time
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.oldest[label(c)] = at
	return nil
}

// changes tells whether the dead letters and the waiting messages are still
// the same.
type changes struct{ dlqLast, dlqCount, retryLast, retryCount uint64 }

func (r *reading) errorsAt() changes {
	dlq, retry := r.streams[contract.StreamDLQ].State, r.streams[contract.StreamRetry].State
	return changes{dlq.LastSeq, dlq.Msgs, retry.LastSeq, retry.Msgs}
}

// problem finds the last error of a stage: its newest dead letter, or the
// newest message that waits to be tried again. What was tried again within a
// minute leaves no trace.
func (r *reading) problem(ctx context.Context, stage string) error {
	waiting := contract.PrefixSchedule + contract.RetrySubjects(stage)
	later, err := waitingLater(ctx, r.js, stage)
	if err != nil {
		return err
	}
	var candidates []*Problem
	for _, at := range []struct{ stream, subject string }{
		{contract.StreamDLQ, contract.DLQSubject(stage)},
		{contract.StreamRetry, waiting},
		{contract.StreamRetry, contract.RetrySubjects(stage)},
	} {
		p, err := lastOf(ctx, r.js, at.stream, at.subject)
		if err != nil {
			return err
		}
		if p != nil {
			candidates = append(candidates, p)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.later[stage] = later
	if len(candidates) > 0 {
		r.problems[stage] = slices.MaxFunc(candidates, func(a, b *Problem) int { return cmp.Compare(a.Time, b.Time) })
	}
	return nil
}

// pipeline puts the answers together.
func (r *reading) pipeline(at time.Time) *Pipeline {
	p := &Pipeline{
		At: at, Buckets: map[string]uint64{}, Outcomes: map[string]uint64{}, counters: map[string]counters{},
		Workers: r.workers, Gateways: r.gateways, Fullest: r.fullest(),
	}
	for _, b := range buckets() {
		p.Buckets[b.Name] = r.streams["KV_"+b.Name].State.Msgs
	}
	prefix := bus.PrefixOf(r.js)
	for subject, count := range r.streams[contract.StreamOutcome].State.Subjects {
		p.Outcomes[prefix.PlainSubject(subject)] = count
	}
	for _, name := range contract.Stages() {
		s := Stage{
			Name: name, Later: r.later[name], Error: r.problems[name],
			DeadLetters: r.streams[contract.StreamDLQ].State.Subjects[prefix.Subject(contract.DLQSubject(name))],
		}
		for _, c := range consumers() {
			if c.Stage != name {
				continue
			}
			info := r.consumers[label(c)]
			q := Queue{Consumer: label(c), Subjects: c.Filters, Waiting: info.NumPending, InFlight: uint64(info.NumAckPending)}
			if oldest, waits := r.oldest[label(c)]; waits {
				q.Oldest = max(0, at.Sub(oldest).Seconds())
			}
			s.add(c, q, uint64(info.NumRedelivered))
			p.counters[label(c)] = counters{
				stored: r.streams[c.Stream].State.LastSeq,
				ended:  info.Delivered.Consumer - min(uint64(info.NumAckPending), info.Delivered.Consumer),
			}
		}
		p.Stages = append(p.Stages, s)
	}
	return p
}
