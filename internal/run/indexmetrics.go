package run

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/stage/index"
)

// watchIndexes registers how many list indexes a resolver knows, by how they stand.
func watchIndexes(to prometheus.Registerer, r *index.Resolver) {
	for _, standing := range index.Standings() {
		to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "relaymesh_list_indexes", Help: "List indexes that are known, by how they stand.",
			ConstLabels: prometheus.Labels{"standing": string(standing)},
		}, func() float64 {
			count, now := 0, time.Now()
			for _, k := range r.Known() {
				if k.Standing(now) == standing {
					count++
				}
			}
			return float64(count)
		}))
	}
}

// knownIndexes says how list indexes stand, which come best first; nil if none is known.
func knownIndexes(known []index.Known, now time.Time) *contract.Indexes {
	if len(known) == 0 {
		return nil
	}
	told := &contract.Indexes{Standings: map[string]int{}}
	for _, k := range known {
		standing := string(k.Standing(now))
		told.Standings[standing]++
		if len(told.Best) == contract.MaxIndexes {
			continue
		}
		one := contract.KnownIndex{
			URL: k.URL, Standing: standing, Via: k.Via, Verified: k.Verified, Delivered: k.Delivered, Missed: k.Missed, Failures: k.Failures,
		}
		if k.LeftAlone(now) {
			one.NextTry = k.NextTry
		}
		told.Best = append(told.Best, one)
	}
	return told
}

// indexMetrics are those of a list index that is served.
type indexMetrics struct {
	pulls  *prometheus.CounterVec
	pulled prometheus.Counter
	events atomic.Int64 // of pulled
}

// newIndexMetrics registers them.
func newIndexMetrics(to prometheus.Registerer, relay *homerelay.Relay, announcer *index.Announcer) *indexMetrics {
	m := &indexMetrics{
		pulls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relaymesh_index_pulls_total", Help: "Syncs from other list indexes, by outcome: ok or failed.",
		}, []string{"outcome"}),
		pulled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "relaymesh_index_pulled_events_total", Help: "Events that came from other list indexes.",
		}),
	}
	gauge := func(name, help string, value func() float64) {
		to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("relaymesh_index_events", "Events that the list index keeps.", func() float64 {
		events, _, _ := relay.Kept()
		return float64(events)
	})
	gauge("relaymesh_index_used_bytes", "Bytes of the list index's store that are in use; see --max-mib.", func() float64 {
		_, bytes, _ := relay.Kept() // a store that cannot be read is not ready, and says so there
		return float64(bytes)
	})
	gauge("relaymesh_index_announced_nodes", "DHT nodes that took the announcements of the last round, of all infohashes together.",
		func() float64 { return float64(announcer.Took()) })
	to.MustRegister(m.pulls, m.pulled)
	return m
}

// count counts a sync from another index.
func (m *indexMetrics) count(events int, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	m.pulls.WithLabelValues(outcome).Inc()
	m.pulled.Add(float64(events))
	m.events.Add(int64(events))
}
