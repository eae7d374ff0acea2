package contract

import (
	"strings"
)

// How a relay or a relay list became known. [Sources] is their order.
const (
	ViaNIP65     = "nip65"     // a signed kind 10002
	ViaDHT       = "dht"       // a signed BEP 44 record
	ViaNIP78     = "nip78"     // a signed kind 30078 with r and dht tags
	ViaManual    = "manual"    // the operator
	ViaDelivered = "delivered" // the relay has delivered events of the author that the local relay lacked
	ViaDirectory = "directory" // a public list of relays
	ViaClaim     = "claim"     // a BEP 44 record of a key that only third parties name as the author's
	ViaHint      = "hint"      // a third party's claim
	ViaMonitor   = "monitor"   // a relay: a monitor says that it lives (NIP-66)
	ViaSeed      = "seed"      // a relay: the operator names it to surveys
)

// Sources returns how relays and lists become known, in falling order of weight;
// an author's own lists come first.
func Sources() []string {
	return []string{ViaNIP65, ViaDHT, ViaNIP78, ViaManual, ViaDelivered, ViaDirectory, ViaClaim, ViaHint}
}

// RecordDue asks for a keyspace slice to be refreshed.
type RecordDue struct {
	Slice string `json:"slice"`
}

// SyncDue asks for a relay to be synced. Cause tells two wake-ups apart, so
// that deduplication cannot swallow one that brings new authors.
type SyncDue struct {
	URL   string `json:"url"`
	Cause string `json:"cause,omitempty"`
}

// LiveDue asks for a live subscription with a relay. Its message stays
// unacknowledged for as long as a worker holds the subscription.
type LiveDue struct {
	URL string `json:"url"`
}

// SurveyRoot is the slice of all authors. One that has too many is split: its name and
// "0", or "1", is the half of it whose public keys have that as their next bit.
const SurveyRoot = "a"

// SurveyDue asks for a survey of a slice of the authors.
type SurveyDue struct {
	Slice string `json:"slice"`
}

// IsDAGRoot reports whether s is the CID of a Scionic DAG: version 1, CBOR,
// SHA-256, in base32. It is then safe as a file name.
func IsDAGRoot(s string) bool {
	const length = 1 + (4+32)*8/5 + 1
	return len(s) == length && strings.HasPrefix(s, "bafirei") && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// DeadLetter is a message that a stage could not process, with the reason.
type DeadLetter struct {
	Stage    string `json:"stage"`
	Subject  string `json:"subject"`
	Data     []byte `json:"data"`
	Reason   string `json:"reason"`
	Attempts int    `json:"attempts"` // see [Message]
	Time     int64  `json:"time"`     // Unix seconds
	// Size is how many bytes the message had, if Data is only their beginning.
	Size int `json:"size,omitempty"`
	// History tells how the message ended before, each time that it was
	// retried, oldest first.
	History []Failure `json:"history,omitempty"`
}

// MaxHistory is how many earlier ends a dead letter remembers.
const MaxHistory = 10

// Failure is one earlier end of a dead letter.
type Failure struct {
	Reason   string `json:"reason"`
	Attempts int    `json:"attempts"`
	Time     int64  `json:"time"` // Unix seconds
}
