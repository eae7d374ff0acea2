package bus

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// lagWithin bounds how long a scrape waits for JetStream.
const lagWithin = 3 * time.Second

// lag asks JetStream, at each scrape, how the consumers of a stage stand, and
// how full their queues and buckets are. All replicas of the stage tell the same,
// and of RETRY and some buckets several stages tell: aggregate with max.
type lag struct {
	bus                              *Bus
	pending, inFlight, again, oldest *prometheus.Desc // by consumer
	messages, bytes, limit, fill     *prometheus.Desc // by stream
}

func newLag(b *Bus) *lag {
	desc := func(name, help, of string) *prometheus.Desc {
		return prometheus.NewDesc("relaymesh_"+name, help, []string{of}, prometheus.Labels{"stage": b.options.Stage})
	}
	return &lag{
		bus:      b,
		pending:  desc("bus_pending_messages", "Messages that wait for a worker.", "consumer"),
		inFlight: desc("bus_in_flight_messages", "Messages that workers hold.", "consumer"),
		again:    desc("bus_redelivered_messages", "Messages in flight that were delivered before.", "consumer"),
		oldest:   desc("bus_oldest_seconds", "Age of the oldest message that is not done; of streams without schedules.", "consumer"),
		messages: desc("stream_messages", "Messages in a stream.", "stream"),
		bytes:    desc("stream_bytes", "Bytes that a stream takes.", "stream"),
		limit:    desc("stream_limit_bytes", "Bytes that it may take, where it is bounded by that.", "stream"),
		fill: desc("stream_fill_ratio", "How much of its bound, in bytes or in messages that wait, a stream takes: at 1 it is full.",
			"stream"),
	}
}

// Describe names the metrics.
func (l *lag) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{l.pending, l.inFlight, l.again, l.oldest, l.messages, l.bytes, l.limit, l.fill} {
		ch <- d
	}
}

// Collect asks for each consumer and stream. One that does not answer is left
// out: a gap is truer than an old figure.
func (l *lag) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), lagWithin)
	defer cancel()
	for _, s := range streams {
		if err := l.collect(ctx, s, ch); err != nil {
			l.bus.log.WarnContext(ctx, "couldn't measure a queue", "stream", s.Name, "err", err)
		}
	}
	mine := contract.BucketsOf(l.bus.options.Stage)
	for _, b := range contract.Buckets() {
		stream := "KV_" + b.Name
		if !slices.Contains(mine, b.Name) {
			continue // another stage's
		}
		if _, err := l.size(ctx, stream, b.MaxBytes, ch); err != nil {
			l.bus.log.WarnContext(ctx, "couldn't measure a bucket", "stream", stream, "err", err)
		}
	}
}

// size tells how much there is in a stream that may be bounded by bytes.
func (l *lag) size(ctx context.Context, name string, limit int64, ch chan<- prometheus.Metric) (*jetstream.StreamInfo, error) {
	stream, err := l.bus.js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	state := stream.CachedInfo().State
	gauge(ch, l.messages, float64(state.Msgs), name)
	gauge(ch, l.bytes, float64(state.Bytes), name)
	if limit > 0 {
		limit = contract.Stream{MaxBytes: limit}.Sized(StoreOf(stream.CachedInfo().Config.Metadata)).MaxBytes
		gauge(ch, l.limit, float64(limit), name)
		gauge(ch, l.fill, float64(state.Bytes)/float64(limit), name)
	}
	return stream.CachedInfo(), nil
}

func gauge(ch chan<- prometheus.Metric, desc *prometheus.Desc, v float64, of string) {
	ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, of)
}

// collect tells of a stream and of the stage's consumer on it, if there is one.
// Of streams from which nobody takes the first stage tells.
func (l *lag) collect(ctx context.Context, s contract.Stream, ch chan<- prometheus.Metric) error {
	c, reads := l.consumer(s.Name)
	if !reads && (s.Queue || s.Name == contract.StreamAdvisories || l.bus.options.Stage != contract.StageIngest) {
		return nil
	}
	stream, err := l.size(ctx, s.Name, s.MaxBytes, ch)
	if err != nil || !reads {
		return err
	}
	consumer, err := l.bus.js.Consumer(ctx, c.Stream, c.Name)
	if err != nil {
		return err
	}
	info := consumer.CachedInfo()
	gauge(ch, l.pending, float64(info.NumPending), label(c))
	gauge(ch, l.inFlight, float64(info.NumAckPending), label(c))
	gauge(ch, l.again, float64(info.NumRedelivered), label(c))
	if s.MaxWaiting > 0 {
		gauge(ch, l.fill, float64(info.NumPending)/float64(s.Sized(StoreOf(info.Config.Metadata)).MaxWaiting), s.Name)
	}
	if !s.Schedules { // else the oldest message is a schedule
		gauge(ch, l.oldest, age(stream, time.Now()).Seconds(), label(c))
	}
	return nil
}

// consumer is the stage's on a stream; ADVISORIES are no work.
func (l *lag) consumer(stream string) (contract.Consumer, bool) {
	for _, c := range contract.Consumers() {
		if c.Stream == stream && c.Stage == l.bus.options.Stage && stream != contract.StreamAdvisories {
			return c, true
		}
	}
	return contract.Consumer{}, false
}

func age(info *jetstream.StreamInfo, now time.Time) time.Duration {
	if info.State.Msgs == 0 {
		return 0
	}
	return max(0, now.Sub(info.State.FirstTime))
}
