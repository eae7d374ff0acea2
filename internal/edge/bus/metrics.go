package bus

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	handled     *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	deadLetters *prometheus.CounterVec
	published   *prometheus.CounterVec
	blocked     *prometheus.GaugeVec
	tooLarge    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relaymesh_bus_handled_total",
			Help: "Messages handled, by verdict: done, retry or reject.",
		}, []string{"stage", "consumer", "verdict"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "relaymesh_bus_handle_seconds",
			Help:    "Time in the stage's handler per message.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10), // 1 ms to 4 min
		}, []string{"stage", "consumer"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relaymesh_bus_dead_letters_total",
			Help: "Messages that became dead letters.",
		}, []string{"stage"}),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relaymesh_bus_published_total",
			Help: "Messages that a stage published, by stream; repetitions and what was queued already are counted, too.",
		}, []string{"stage", "stream"}),
		blocked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relaymesh_bus_blocked_publishes",
			Help: "Publishes that wait because a queue is full.",
		}, []string{"stage", "stream"}),
		tooLarge: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relaymesh_bus_too_large_total",
			Help: "Events that were left out because the server takes no message of their size (max_payload).",
		}, []string{"stage"}),
	}
	if r == nil {
		return m, nil
	}
	var err error
	m.handled, err = register(r, m.handled, err)
	m.seconds, err = register(r, m.seconds, err)
	m.deadLetters, err = register(r, m.deadLetters, err)
	m.published, err = register(r, m.published, err)
	m.blocked, err = register(r, m.blocked, err)
	m.tooLarge, err = register(r, m.tooLarge, err)
	if err != nil {
		return nil, fmt.Errorf("register bus metrics: %w", err)
	}
	return m, nil
}

// register returns the collector that another bus of this process has
// registered, if any.
func register[C prometheus.Collector](r prometheus.Registerer, c C, before error) (C, error) {
	err := r.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing, before
		}
	}
	return c, errors.Join(before, err)
}
