package bus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// lagWithin bounds how long a scrape waits for JetStream.
const lagWithin = 3 * time.Second

// lag asks JetStream, at each scrape, how the consumers of a stage stand. All
// replicas of the stage tell the same: aggregate with max.
type lag struct {
	bus                              *Bus
	pending, inFlight, again, oldest *prometheus.Desc
}

func newLag(b *Bus) *lag {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("relaymesh_bus_"+name, help, []string{"consumer"}, prometheus.Labels{"stage": b.options.Stage})
	}
	return &lag{
		bus:      b,
		pending:  desc("pending_messages", "Messages that wait for a worker."),
		inFlight: desc("in_flight_messages", "Messages that workers hold."),
		again:    desc("redelivered_messages", "Messages in flight that were delivered before."),
		oldest:   desc("oldest_seconds", "Age of the oldest message that is not done; of streams without schedules."),
	}
}

// Describe names the metrics.
func (l *lag) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{l.pending, l.inFlight, l.again, l.oldest} {
		ch <- d
	}
}

// Collect asks for each consumer. One that does not answer is left out: a gap
// is truer than an old figure.
func (l *lag) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), lagWithin)
	defer cancel()
	for _, c := range events.Consumers() {
		if c.Stage != l.bus.options.Stage || c.Stream == events.StreamAdvisories {
			continue
		}
		if err := l.collect(ctx, c, ch); err != nil {
			l.bus.log.Warn("couldn't measure the lag", "consumer", label(c), "err", err)
		}
	}
}

func (l *lag) collect(ctx context.Context, c events.Consumer, ch chan<- prometheus.Metric) error {
	consumer, err := l.bus.js.Consumer(ctx, c.Stream, c.Name)
	if err != nil {
		return err
	}
	gauge := func(desc *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, label(c))
	}
	info := consumer.CachedInfo()
	gauge(l.pending, float64(info.NumPending))
	gauge(l.inFlight, float64(info.NumAckPending))
	gauge(l.again, float64(info.NumRedelivered))
	if schedules(c.Stream) {
		return nil // the oldest message is a schedule
	}
	stream, err := l.bus.js.Stream(ctx, c.Stream)
	if err != nil {
		return err
	}
	gauge(l.oldest, age(stream.CachedInfo(), time.Now()).Seconds())
	return nil
}

func age(info *jetstream.StreamInfo, now time.Time) time.Duration {
	if info.State.Msgs == 0 {
		return 0
	}
	return max(0, now.Sub(info.State.FirstTime))
}

func schedules(stream string) bool {
	for _, s := range events.Streams() {
		if s.Name == stream {
			return s.Schedules
		}
	}
	return false
}
