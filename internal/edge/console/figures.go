package console

import (
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// Pipeline is how all stages stand at one moment; its JSON is stable.
type Pipeline struct {
	At time.Time `json:"at"`
	// Over is between this reading and the one before, over which rates are
	// averages; 0 if there was none.
	Over     float64           `json:"over_seconds"`
	Stages   []Stage           `json:"stages"`
	Buckets  map[string]uint64 `json:"buckets"`  // values by bucket
	Outcomes map[string]uint64 `json:"outcomes"` // of the last hour, by subject
	// Workers are the processes that run stages and have said so lately.
	Workers []Worker `json:"workers"`
	// Gateways are those that run without stages and have said so lately. Users whom strangers reach
	// write it, so it counts for nothing but them.
	Gateways []Worker `json:"gateways,omitempty"`
	// Fullest is the stream that has used most of what it may take.
	Fullest Fill `json:"fullest"`

	counters map[string]counters // by consumer, for the rates of the next reading
	errorsAt changes
}

// Stage is one stage over all its replicas.
type Stage struct {
	Name string `json:"stage"`
	// Rate is how many attempts end per second, whatever their verdict.
	Rate *float64 `json:"rate"`
	// Lag is what waits and what is being worked on.
	Lag      uint64 `json:"lag"`
	Waiting  uint64 `json:"waiting"`
	InFlight uint64 `json:"in_flight"`
	// Oldest is the age in seconds of the oldest message that is not done.
	Oldest float64 `json:"oldest_seconds"`
	Again  uint64  `json:"redelivered"` // of those in flight
	// Later is how many messages wait for the time of their next attempt.
	Later       uint64   `json:"later"`
	DeadLetters uint64   `json:"dead_letters"`
	Error       *Problem `json:"last_error"`
	Queues      []Queue  `json:"queues"`
}

// Queue is one consumer of a stage and what it reads.
type Queue struct {
	Consumer string   `json:"consumer"`
	Subjects []string `json:"subjects"`
	In       *float64 `json:"in_rate"` // messages stored per second
	Rate     *float64 `json:"rate"`
	Waiting  uint64   `json:"waiting"`
	InFlight uint64   `json:"in_flight"`
	Oldest   float64  `json:"oldest_seconds"`
	Live     uint64   `json:"live,omitempty"` // live subscriptions held
}

// State is how a stage does in a word: idle, working, slow (something is older
// than a minute) or stuck (than ten), or of what takes long than [Queue.patience] times that.
func (s Stage) State() string {
	const slow, stuck = 60, 600
	oldest := s.Oldest
	if len(s.Queues) > 0 {
		oldest = 0
	}
	for _, q := range s.Queues {
		oldest = max(oldest, q.Oldest/q.patience())
	}
	switch {
	case oldest >= stuck:
		return "stuck"
	case oldest >= slow:
		return "slow"
	case s.Lag > 0 || s.Rate != nil && *s.Rate > 0:
		return "working"
	}
	return "idle"
}

// patience is how many times longer than others its messages may take: a sync may last half an
// hour, and a pass of the survey longer.
func (q Queue) patience() float64 {
	stream, _, _ := strings.Cut(q.Consumer, "/")
	switch stream {
	case contract.StreamRelay, contract.StreamSyncDue:
		return 6
	case contract.StreamSurveyDue:
		return 12
	}
	return 1
}

// Again reports whether the queue brings messages back that the stage had
// before.
func (q Queue) Again() bool { return strings.HasPrefix(q.Consumer, contract.StreamRetry+"/") }

// Short is what it reads, without the key.
func (q Queue) Short() string {
	if len(q.Subjects) > 1 {
		return "all from relays"
	}
	return strings.TrimSuffix(q.Subjects[0], ".*")
}

// Problem is the last thing that went wrong in a stage, of what has become a
// dead letter or waits to be tried again.
type Problem struct {
	Time       int64  `json:"time"`
	Subject    string `json:"subject"`
	Reason     string `json:"reason"`
	DeadLetter uint64 `json:"dead_letter,omitempty"` // its number
}

// counters only grow, and do so in NATS, whichever replica does the work.
type counters struct {
	stored uint64 // last sequence of the stream
	ended  uint64 // attempts that were answered or timed out
}

// add counts a consumer into its stage. Live subscriptions are messages in
// flight, held for as long as they last.
func (s *Stage) add(c contract.Consumer, q Queue, again uint64) {
	if isLive(c) {
		q.Live, q.InFlight = q.InFlight, 0
	}
	s.Waiting += q.Waiting
	s.InFlight += q.InFlight
	s.Lag = s.Waiting + s.InFlight
	s.Oldest = max(s.Oldest, q.Oldest)
	s.Again += again
	s.Queues = append(s.Queues, q)
}

func isLive(c contract.Consumer) bool { return c.Stream == contract.StreamLive }

func label(c contract.Consumer) string { return c.Stream + "/" + c.Name }

// since fills in the rates since an earlier reading.
func (p *Pipeline) since(before *Pipeline) {
	if before == nil {
		return
	}
	p.Over = p.At.Sub(before.At).Seconds()
	for i := range p.Stages {
		s := &p.Stages[i]
		for j := range s.Queues {
			q := &s.Queues[j]
			was, is := before.counters[q.Consumer], p.counters[q.Consumer]
			q.Rate = rate(was.ended, is.ended, p.Over)
			if !q.Again() { // one stream for all stages
				q.In = rate(was.stored, is.stored, p.Over)
			}
			if q.Rate == nil {
				continue
			}
			if s.Rate == nil {
				s.Rate = new(float64)
			}
			*s.Rate += *q.Rate
		}
	}
}

// rate is what a counter grew by per second; nil if it was set back.
func rate(before, now uint64, over float64) *float64 {
	if over <= 0 || now < before {
		return nil
	}
	r := float64(now-before) / over
	return &r
}
