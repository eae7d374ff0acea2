package contract

import "github.com/relaymesh/relaymesh/pkg/nostr"

// Gateway are the figures of a gateway; all but Connections count since it began.
type Gateway struct {
	Relay       string `json:"relay"` // URL of the relay that it stands before
	Connections int64  `json:"connections"`
	Messages    int64  `json:"messages"`  // that passed, both ways, control frames included
	Watched     int64  `json:"watched"`   // REQs that name events
	Completed   int64  `json:"completed"` // events that the relay lacked and clients got
	Vain        int64  `json:"in_vain"`   // REQs whose EOSE waited and for which nothing was found
	Waits       int64  `json:"waits"`     // REQs whose EOSE waited for what the relay lacked
	WaitMS      int64  `json:"wait_ms"`   // the sum of these waits, in milliseconds
}

// Plus is the sum of two gateways' figures, without a relay.
func (g Gateway) Plus(other Gateway) Gateway {
	return Gateway{
		Connections: g.Connections + other.Connections, Messages: g.Messages + other.Messages, Watched: g.Watched + other.Watched,
		Completed: g.Completed + other.Completed, Vain: g.Vain + other.Vain, Waits: g.Waits + other.Waits, WaitMS: g.WaitMS + other.WaitMS,
	}
}

// Wait is for how many milliseconds an EOSE waited in the mean.
func (g Gateway) Wait() int64 { return g.WaitMS / max(g.Waits, 1) }

// GatewayProcess is the value of bucket gateways: a gateway that runs without stages,
// under a name of its own. It is written as often as a [Worker], and believed as long.
// Users whom strangers reach write it, so it has neither conditions nor advice of its own.
type GatewayProcess struct {
	Gateway

	Version string `json:"version"`
	Host    string `json:"host,omitempty"`
	Started int64  `json:"started"` // Unix seconds
	At      int64  `json:"at"`
	// Wrong says why the relay cannot be reached; empty if it can.
	Wrong string `json:"wrong,omitempty"`
}

// Condition says whether the relay can be reached. What to do is said here: advice is not taken from
// those whom strangers reach.
func (g GatewayProcess) Condition() Condition {
	c := Condition{Name: ConditionGateway, Wrong: g.Wrong}
	if c.Wrong != "" {
		c.Do = "see whether the relay behind it runs, and the log of the gateway"
	}
	return c
}

const (
	// MaxGateways is how many values of bucket gateways are read.
	MaxGateways = 200
	// mostFigure is what no gateway counts up to; the sum of [MaxGateways] of it is a number still.
	mostFigure = 1 << 53
	// mostWrong is how many bytes of a reason are told.
	mostWrong = 300
)

// Believe is that of [Author.Believe], for figures and words too: none is below 0 or so large
// that a sum runs over, and none longer than it may be.
func (g *GatewayProcess) Believe(now int64) {
	past(now, &g.Started, &g.At)
	for _, n := range []*int64{&g.Connections, &g.Messages, &g.Watched, &g.Completed, &g.Vain, &g.Waits, &g.WaitMS} {
		*n = min(max(*n, 0), mostFigure)
	}
	if len(g.Relay) > nostr.MaxURLBytes {
		g.Relay = nostr.Clip(g.Relay)
	}
	g.Version, g.Host = nostr.Clip(g.Version), nostr.Clip(g.Host)
	if len(g.Wrong) > mostWrong {
		g.Wrong = nostr.Clip(g.Wrong)
	}
}
