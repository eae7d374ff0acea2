package console

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/relaymesh/relaymesh/internal/contract"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("relaymesh_"+name, help, labels, nil)
}

var (
	descUsers    = desc("users", "Users that ingest has seen.")
	descFindable = desc("users_findable", "Users with a record that DHT nodes held when last asked.")
	descHeld     = desc("users_held", "Users with a record, by how many DHT nodes held the best of theirs.", "holders")
	descRecords  = desc("records", "Records on the DHT, by state.", "state")
	descRelays   = desc("relays", "Relays that are known, by health.", "health")
	descLive     = desc("relays_live", "Relays that answered when last asked.")
	descComplete = desc("relays_complete", "Live relays that the local relay was proved complete with within 7 days.")
	descFailing  = desc("relays_failing", "Live relays whose last sync failed.")
	descMissing  = desc("events_missing", "Events that relays have shown in their last sync and the local relay lacks.")
	descWanted   = desc("notes_wanted", "Notes that are looked for, or will be again.")
	descLost     = desc("notes_lost", "Notes that were looked for in vain and are not looked for again yet.")
)

// Describe is that of [prometheus.Collector].
func (c *Console) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descUsers, descFindable, descHeld, descRecords, descRelays, descLive, descComplete, descFailing, descMissing, descWanted, descLost,
	} {
		to <- d
	}
}

// Collect gives the figures of the first page, which all consoles of a pipeline count alike:
// take the largest. There are none before all has been counted; those of notes are up to five
// minutes old.
func (c *Console) Collect(to chan<- prometheus.Metric) {
	s := c.counter.summary()
	if !s.Whole {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(descUsers, float64(s.Users.All))
	gauge(descFindable, float64(s.Users.Findable))
	for _, h := range s.Users.Holders {
		gauge(descHeld, float64(h.Users), h.Label())
	}
	for _, state := range recordOrder { // zeros, too, or an alert could not end
		gauge(descRecords, float64(s.Records[state]), state)
	}
	for _, state := range healthOrder {
		gauge(descRelays, float64(s.Relays[state]), state)
	}
	gauge(descLive, float64(s.Proved.Live))
	gauge(descComplete, float64(s.Proved.Complete))
	gauge(descFailing, float64(s.Proved.Failing))
	gauge(descMissing, float64(s.Proved.Missing))
	if p := c.feed.last(); p != nil {
		gauge(descWanted, float64(Overview{Pipeline: p}.Wanted()))
		gauge(descLost, float64(p.Buckets[contract.BucketLost]))
	}
}

// Label names the class: 0, 1-3, 4-7 or 8-12.
func (h Holders) Label() string {
	if h.From == h.To {
		return strconv.Itoa(h.From)
	}
	return fmt.Sprintf("%d-%d", h.From, h.To)
}
