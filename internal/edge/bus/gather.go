package bus

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// gather is how long a message waits for another that follows it, and mostGather
	// how long while others keep coming.
	gather     = 10 * time.Millisecond
	mostGather = 20 * time.Millisecond
)

// gathered are messages that are to be handled together. One that comes soon after
// another waits a moment for the next, so that batches are as large as the load is
// high; one that comes alone waits for nothing.
type gathered struct {
	msgs        []jetstream.Msg
	first, last time.Time // when the first of msgs came, and the last message of all
}

// add adds a message and reports whether it is one that came alone.
func (g *gathered) add(msg jetstream.Msg, now time.Time) (alone bool) {
	alone = len(g.msgs) == 0 && now.Sub(g.last) >= gather
	if len(g.msgs) == 0 {
		g.first = now
	}
	g.msgs, g.last = append(g.msgs, msg), now
	return alone
}

// wait is how long the next message may take.
func (g *gathered) wait(now time.Time) time.Duration {
	return max(min(gather, mostGather-now.Sub(g.first)), time.Nanosecond)
}

// flush has deliver take what there is, if anything.
func (g *gathered) flush(deliver func([]jetstream.Msg)) {
	if len(g.msgs) > 0 {
		deliver(g.msgs)
		g.msgs = nil
	}
}
