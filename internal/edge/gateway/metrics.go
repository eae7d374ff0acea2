package gateway

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of a gateway.
type metrics struct {
	up, down                         *counted // messages that passed
	watched, completed, vain         *counted
	heard, unheard, refused, evicted prometheus.Counter
	latency                          *timed
}

// counted is a counter that the process itself can read, too.
type counted struct {
	prometheus.Counter

	n atomic.Int64
}

// Inc is that of [prometheus.Counter].
func (c *counted) Inc() {
	c.n.Add(1)
	c.Counter.Inc()
}

// timed is a histogram whose count and sum the process itself can read, too.
type timed struct {
	prometheus.Histogram

	n, sum atomic.Int64 // the sum in nanoseconds
}

// took notes how long it took.
func (t *timed) took(d time.Duration) {
	t.n.Add(1)
	t.sum.Add(int64(d))
	t.Observe(d.Seconds())
}

// newMetrics registers them, if there is where.
func newMetrics(to prometheus.Registerer, connections func() int) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "relaymesh_gateway_" + name, Help: help})
	}
	passed := func(direction string) *counted {
		return &counted{Counter: prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "relaymesh_gateway_messages_total",
			Help:        "Messages and control frames that passed the gateway, by direction: up to the relay, down to clients.",
			ConstLabels: prometheus.Labels{"direction": direction},
		})}
	}
	m := &metrics{
		up: passed("up"), down: passed("down"),
		watched: &counted{
			Counter: counter("reqs_watched_total", "REQs that name events, which are completed if the relay lacks some."),
		},
		completed: &counted{Counter: counter("completed_total", "Events that the relay lacked and clients got all the same.")},
		vain:      &counted{Counter: counter("waited_in_vain_total", "REQs whose EOSE waited and for which nothing was found.")},
		heard:     counter("heard_total", "Events that the relay accepted and that were handed to ingest."),
		unheard:   counter("unheard_total", "Events of clients that passed unheard: too many waited for the relay's OK."),
		refused:   counter("refused_total", "Connections that were not taken: too many of one address, or the relay did not answer."),
		evicted:   counter("evicted_total", "Connections that gave way to an address with fewer."),
		latency: &timed{Histogram: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "relaymesh_gateway_added_seconds", Help: "How long an EOSE waited for what the relay lacked.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 1.5, 2},
		})},
	}
	if to != nil {
		to.MustRegister(m.up, m.down, m.watched, m.completed, m.vain, m.heard, m.unheard, m.refused, m.evicted, m.latency,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "relaymesh_gateway_connections", Help: "Clients that are connected.",
			}, func() float64 { return float64(connections()) }))
	}
	return m
}
