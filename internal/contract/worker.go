package contract

import "time"

// Worker is the value of bucket workers: a process that runs stages, under a
// name of its own. It writes every [WorkerEvery]; one that says nothing for
// [WorkerFor] is gone.
type Worker struct {
	Stages  []string `json:"stages"`
	Version string   `json:"version"`
	Host    string   `json:"host,omitempty"`
	Started int64    `json:"started"`
	At      int64    `json:"at"`
	// Conditions are those of /readyz, and what the process says besides.
	Conditions []Condition `json:"conditions"`
	// Gateway and Index tell of the gateway and of the list index that it runs beside
	// its stages, Indexes of the list indexes that it knows; nil is none.
	Gateway *Gateway `json:"gateway,omitempty"`
	Index   *Index   `json:"index,omitempty"`
	Indexes *Indexes `json:"indexes,omitempty"`
	// Syncs and Passes are under way in it, those first that began first,
	// [MaxRunning] of each at most.
	Syncs  []RunningSync `json:"syncs,omitempty"`
	Passes []RunningPass `json:"passes,omitempty"`
}

// Condition is one of a [Worker]; it holds if Wrong is empty, else that says what
// is wrong, and Do what to do about it.
type Condition struct {
	Name  string `json:"name"`
	Wrong string `json:"wrong,omitempty"`
	Do    string `json:"do,omitempty"`
}

// How often a worker tells how it does, and for how long that is believed.
const (
	WorkerEvery = 10 * time.Second
	WorkerFor   = time.Minute
)

// What a [Worker] lists at most, so that it stays below the server's max_payload.
const (
	MaxRunning = 32
	MaxIndexes = 64
)

// The names of conditions of what runs beside stages.
const (
	ConditionGateway = "gateway"
	ConditionIndex   = "list index"
	ConditionTail    = "tail of " // and the URL of the relay
)

// Index are the figures of a list index that is served; Pulled counts since it began.
type Index struct {
	URL       string `json:"url"`
	Events    int    `json:"events"` // that it keeps
	Bytes     int64  `json:"bytes"`  // of its store that are in use
	Pulled    int64  `json:"pulled"` // events that came from other indexes
	Announced int    `json:"announced"`
}

// Indexes are the list indexes that a process knows.
type Indexes struct {
	// Standings count all of them by how they stand, in words of package stage/index.
	Standings map[string]int `json:"standings"`
	// Best are those that stand best, best first, [MaxIndexes] at most.
	Best []KnownIndex `json:"best"`
}

// KnownIndex is a list index that a process knows. Times are in Unix seconds.
type KnownIndex struct {
	URL      string `json:"url"`
	Standing string `json:"standing"`
	Via      string `json:"via"` // "dht", "config", or the URL of the index that named it
	// Verified is when it last showed that it is one, 0 for never; NextTry when it is
	// asked again, if it is left alone.
	Verified int64 `json:"verified,omitempty"`
	NextTry  int64 `json:"next_try,omitempty"`
	// Delivered is how often its answer was the newest valid one, Missed how often
	// another index had a newer one; old ones count half.
	Delivered int `json:"delivered"`
	Missed    int `json:"missed"`
	Failures  int `json:"failures,omitempty"` // in a row
}

// RunningSync is a sync that is under way. Its figures are those of this run alone,
// which goes on with what an earlier one did not end.
type RunningSync struct {
	URL   string `json:"url"`
	Begun int64  `json:"begun"`        // Unix seconds
	Done  int    `json:"done"`         // parts that are complete, also by an earlier run
	Of    int    `json:"of,omitempty"` // parts
	// Missing are the events found that the local relay lacks, Stored those of them
	// that it has taken, Sent those that the other one has; Left are those that were
	// refused, not delivered, or held back by our rules.
	Missing int `json:"missing,omitempty"`
	Stored  int `json:"stored,omitempty"`
	Sent    int `json:"sent,omitempty"`
	Left    int `json:"left,omitempty"`
	// Passes of reconciliation, Windows of time that were compared on their own,
	// Messages of both ways and sides, and Bytes of these and of events.
	Passes   int   `json:"passes,omitempty"`
	Windows  int   `json:"windows,omitempty"`
	Messages int   `json:"messages,omitempty"`
	Bytes    int64 `json:"bytes,omitempty"`
}

// RunningPass is a pass of the survey that is under way.
type RunningPass struct {
	Slice  string `json:"slice"`
	Begun  int64  `json:"begun"`  // Unix seconds
	Looked int    `json:"looked"` // relays that have been asked
	Of     int    `json:"of"`     // relays that are to be
}
