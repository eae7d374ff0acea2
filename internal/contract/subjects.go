package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// The prefixes of internal subjects that take one more token, the key.
const (
	prefixRecordDue = "record.due."
	prefixSyncDue   = "sync.due."
	prefixLiveDue   = "live.due."
	prefixSurveyDue = "survey.due."
	prefixRetry     = "retry."
	prefixDLQ       = "dlq."
	// PrefixSchedule comes before the subject that a schedule publishes to.
	PrefixSchedule = "schedule."
)

// The names of the NATS services, as the services framework (ADR-32) lists
// them.
const (
	NameNoteFetch   = "relaymesh-note-fetch"
	NameListResolve = "relaymesh-list-resolve"
)

// The stages, as they appear in dead-letter and retry subjects.
const (
	StageIngest     = "ingest"
	StageDHTWorker  = "dhtworker"
	StageSyncWorker = "syncworker"
	StageFetcher    = "fetcher"
)

// Stages lists the stages in flow order.
func Stages() []string {
	return []string{StageIngest, StageDHTWorker, StageSyncWorker, StageFetcher}
}

// AuthorSeenSubject is the keyed form of author.seen.
func AuthorSeenSubject(pubkey string) string { return events.SubjectAuthorSeen + "." + pubkey }

// RelayListSignedSubject is the keyed form of relaylist.signed; target is the
// record's DHT target in 40 hex digits.
func RelayListSignedSubject(target string) string {
	return events.SubjectRelayListSigned + "." + target
}

// RelayDiscoveredSubject is the keyed form of relay.discovered.
func RelayDiscoveredSubject(relayKey string) string {
	return events.SubjectRelayDiscovered + "." + relayKey
}

// NoteMissingSubject is the keyed form of note.missing; see [events.NoteMissing.Key].
func NoteMissingSubject(key string) string { return events.SubjectNoteMissing + "." + key }

// RecordDueSubject asks for one keyspace slice to be refreshed.
func RecordDueSubject(slice string) string { return prefixRecordDue + slice }

// SyncDueSubject asks for one relay to be synced.
func SyncDueSubject(relayKey string) string { return prefixSyncDue + relayKey }

// LiveDueSubject asks for a live subscription with one relay.
func LiveDueSubject(relayKey string) string { return prefixLiveDue + relayKey }

// SurveyDueSubject asks for a survey of one slice of the authors, see [SurveyRoot].
func SurveyDueSubject(slice string) string { return prefixSurveyDue + slice }

// DLQSubject is where dead letters of a stage go.
func DLQSubject(stage string) string { return prefixDLQ + stage }

// RetrySubject is where a message of a stage comes back after a long wait. The
// key is derived from subject and body: many different messages share one
// public subject, and the same message must wait only once.
func RetrySubject(stage string, m Message) string {
	h := sha256.New()
	h.Write([]byte(m.Subject))
	h.Write([]byte{0})
	h.Write(m.Data)
	return prefixRetry + stage + "." + hex.EncodeToString(h.Sum(nil)[:16])
}

// RetrySubjects is the pattern of all [RetrySubject]s of a stage.
func RetrySubjects(stage string) string { return prefixRetry + stage + ".*" }

// Slice returns the keyspace slice of a DHT target: its first byte in hex, so
// there are 256.
func Slice(target string) string { return target[:2] }

// RecordKey is the KV key of the record with that DHT target (40 hex digits):
// slice, dot, target, so that a wildcard reads one slice.
func RecordKey(target string) string { return Slice(target) + "." + target }

// LinkKey is the KV key of the fact that an author writes to a relay; the
// wildcards relayKey.* and *.pubkey read a relay's authors and an author's
// relays.
func LinkKey(relayKey, pubkey string) string { return relayKey + "." + pubkey }

// ReaderKey is the KV key, in the same bucket, of the fact that an author reads
// from a relay. No pattern of [LinkKey] matches it.
func ReaderKey(relayKey, pubkey string) string { return "reads." + relayKey + "." + pubkey }

// RefusedKey is the KV key of the fact that syncs with a relay leave an event
// out; the wildcard relayKey.* reads those of one relay.
func RefusedKey(relayKey, eventID string) string { return relayKey + "." + eventID }

func lastToken(subject string) string {
	return subject[strings.LastIndexByte(subject, '.')+1:]
}
