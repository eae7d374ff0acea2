package contract

import (
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// Stream describes a JetStream stream as data; the bus makes it so.
type Stream struct {
	Name     string
	Doc      string
	Subjects []string
	// Queue streams (work-queue retention) drop a message once it is
	// acknowledged; the others keep it for MaxAge.
	Queue bool
	// Coalesce keeps one message per subject, the newest. A message that
	// arrives while its predecessor is in flight is delivered afterwards.
	Coalesce bool
	// Once keeps one message per subject, the oldest: while it is
	// outstanding, publishing another fails with error 10077, which means
	// "already queued". It cannot be combined with Schedules.
	Once bool
	// Schedules allows message schedules (ADR-51) on the stream's
	// schedule.> subjects.
	Schedules bool
	MaxAge    time.Duration // 0 is for ever
	// MaxBytes bounds what the stream holds. A full queue takes nothing new, and
	// who publishes waits, but a message may still replace the one of its subject;
	// of the other streams the oldest messages go.
	MaxBytes int64
	// MaxWaiting bounds the messages that wait for a worker where MaxBytes is 0:
	// in queues that hold schedules, which are knowledge and no work. The server
	// refuses nothing on any stream with schedules, so there the publishers keep
	// to the bounds; they look once a second.
	MaxWaiting int
	// Why is the reason for the bound.
	Why string
	// Dedupe is the window of Nats-Msg-Id deduplication; the server has none
	// shorter than 100 ms.
	Dedupe time.Duration
}

// Consumer describes a durable pull consumer as data.
type Consumer struct {
	Name   string
	Stream string
	Stage  string
	// Filters are the subjects that it delivers. They never match schedule.>:
	// acknowledging a schedule would delete it.
	Filters []string
	// AckWait is how long JetStream waits for an ack or a heartbeat before it
	// delivers the message again.
	AckWait time.Duration
	// InFlight bounds the messages that one worker handles at a time.
	InFlight int
	// Largest is how many of the largest events they may be as large as together; 0 is any.
	Largest int
	// Holds says that handlers may hold their messages for as long as they like: what
	// a message stands for lasts, as a subscription does.
	Holds bool
	// Apart says that the work begins a trace of its own, which links to that of
	// the message: strangers may have sent it, who must not be able to put spans
	// into our traces or to decide what is sampled, or one message stands for
	// what many have caused.
	Apart bool
}

// MaxDeliver is how often JetStream itself delivers a message. It is a
// backstop against a message that kills its worker: the bus gives up earlier
// (see [MaxAttempts]) on one whose handler asks for more tries. Generous,
// since the negative acks of every shutdown count as deliveries.
const MaxDeliver = 60

// MaxAttempts is how often a handler is given a message before it becomes a
// dead letter. With the growing waits of the bus that is about half a day.
const MaxAttempts = 20

// MaxAckPending bounds the messages in flight of one consumer over all
// workers.
const MaxAckPending = 8192

// waiting is how many messages a worker takes of work that waits for its slots:
// what one stranger causes may fill a share of it, and the rest gets through.
const waiting = 192

// MaxLive bounds the live subscriptions that one worker holds: each keeps its
// message in flight.
const MaxLive = 500

// The streams.
const (
	StreamIntake     = "INTAKE"
	StreamAuthor     = "AUTHOR"
	StreamRelayList  = "RELAYLIST"
	StreamRelay      = "RELAY"
	StreamNote       = "NOTE"
	StreamRecordDue  = "RECORD_DUE"
	StreamSyncDue    = "SYNC_DUE"
	StreamLive       = "LIVE"
	StreamSurveyDue  = "SURVEY_DUE"
	StreamRetry      = "RETRY"
	StreamOutcome    = "OUTCOME"
	StreamDLQ        = "DLQ"
	StreamAdvisories = "ADVISORIES"
)

// AdvisoryMaxDeliveries is the prefix of the server's own message that a
// consumer has given up on a message; stream and consumer name follow.
const AdvisoryMaxDeliveries = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"

const (
	dedupeWindow = 10 * time.Minute
	// workWindow is that of queues: the server holds each id in memory for as long,
	// some 160 bytes, of all the work that strangers cause. What is published twice
	// follows within seconds, or within AckWait when a worker has died.
	workWindow = 2 * time.Minute
	// noDedupe is the shortest window that there is. Who publishes to the intake
	// may know the id of an event before its author's relay hands it over, and use
	// it up for a message of their own.
	noDedupe = 100 * time.Millisecond
)

// intake are the subjects that strangers publish to.
var intake = []string{
	events.SubjectEventReceived, events.SubjectAuthorSeen, events.SubjectRelayListSigned, events.SubjectRelayDiscovered,
	events.SubjectNoteMissing,
}

// Intake reports whether a subject is one that strangers publish to, too: a
// message there has no Nats-Msg-Id, which they could have used before. That it
// comes twice has no effect, since ingest knows what it has verified.
func Intake(subject string) bool { return slices.Contains(intake, subject) }

// Streams lists the streams of relaymesh in flow order. A new subject belongs to
// one of them; it also wants a consumer in [Consumers] if a stage handles it, and
// the permission of its publisher in stageAccess. A public one is a constant in
// pkg/events, its payload a type there.
func Streams() []Stream {
	list := []Stream{
		{
			Name: StreamIntake, Doc: "what relays publish, before ingest has looked at it",
			Subjects: slices.Clone(intake),
			Queue:    true, Dedupe: noDedupe,
			MaxBytes: 4 << 30, Why: "some four million events: an hour of a thousand a second",
		},
		{
			Name: StreamAuthor, Doc: "authors whose list is to be looked up",
			Subjects: []string{AuthorSeenSubject("*"), PrefixSchedule + AuthorSeenSubject("*")},
			Queue:    true, Coalesce: true, Schedules: true, Dedupe: workWindow,
			MaxWaiting: 1_000_000, Why: "300 MB; one message per author",
		},
		{
			Name: StreamRelayList, Doc: "records that are to be put on the DHT",
			Subjects: []string{RelayListSignedSubject("*")},
			Queue:    true, Coalesce: true, Dedupe: workWindow,
			MaxBytes: 512 << 20, Why: "250,000 records of 2 KB; one message per record",
		},
		{
			Name: StreamRelay, Doc: "relays where authors write",
			Subjects: []string{RelayDiscoveredSubject("*")},
			Queue:    true, Coalesce: true, Dedupe: workWindow,
			MaxBytes: 128 << 20, Why: "300,000 relays, many times those of the world; one message per relay",
		},
		{
			Name: StreamNote, Doc: "notes that the local relay lacks",
			Subjects: []string{NoteMissingSubject("*")},
			Queue:    true, Once: true, MaxAge: 7 * 24 * time.Hour, Dedupe: workWindow,
			MaxBytes: 512 << 20, Why: "a million notes; what is older than a week is looked for when something refers to it again",
		},
		{
			Name: StreamRecordDue, Doc: "keyspace slices whose records are to be refreshed",
			Subjects: []string{RecordDueSubject("*"), PrefixSchedule + RecordDueSubject("*")},
			Queue:    true, Coalesce: true, Schedules: true, Dedupe: workWindow,
			MaxWaiting: 256, Why: "one message per slice, and there are no more",
		},
		{
			Name: StreamSyncDue, Doc: "relays that are to be synced",
			Subjects: []string{SyncDueSubject("*"), PrefixSchedule + SyncDueSubject("*")},
			Queue:    true, Coalesce: true, Schedules: true, Dedupe: workWindow,
			MaxWaiting: 100_000, Why: "30 MB; one message per relay",
		},
		{
			Name: StreamLive, Doc: "relays to which a live subscription is held, or waits for a worker",
			Subjects: []string{LiveDueSubject("*")},
			Queue:    true, Once: true, Dedupe: workWindow,
			MaxBytes: 32 << 20, Why: "100,000 relays; one message per relay",
		},
		{
			Name: StreamSurveyDue, Doc: "slices of the authors whose events are to be looked for at all relays",
			Subjects: []string{SurveyDueSubject("*"), PrefixSchedule + SurveyDueSubject("*")},
			Queue:    true, Coalesce: true, Schedules: true, Dedupe: workWindow,
			MaxWaiting: 10_000, Why: "3 MB; one message per slice of up to 500 authors",
		},
		{
			Name: StreamRetry, Doc: "messages that wait for minutes or hours before their next attempt",
			Subjects: []string{prefixRetry + "*.*", PrefixSchedule + prefixRetry + "*.*"},
			Queue:    true, Coalesce: true, Schedules: true, Dedupe: workWindow,
			MaxBytes: 1 << 30, Why: "a quarter of what waits for its first attempt",
		},
		{
			Name: StreamOutcome, Doc: "what happened, for relays, the console and anyone",
			Subjects: []string{
				events.SubjectRecordPublished, events.SubjectRecordResolved, events.SubjectSyncFinished, events.SubjectNoteFound,
				events.SubjectNoteLost, events.SubjectDAGWanted,
			},
			MaxAge: time.Hour, Dedupe: dedupeWindow,
			MaxBytes: 256 << 20, Why: "news, not work",
		},
		{
			Name: StreamDLQ, Doc: "dead letters, with the reason",
			Subjects: []string{DLQSubject("*")},
			MaxAge:   30 * 24 * time.Hour, Dedupe: dedupeWindow,
			MaxBytes: 1 << 30, Why: "anyone can have invalid messages put here, and must not stop the pipeline by that",
		},
		{
			Name: StreamAdvisories, Doc: "the server's advisories that a message was delivered too often",
			MaxAge: 7 * 24 * time.Hour, Dedupe: dedupeWindow,
			MaxBytes: 64 << 20, Why: "300,000 messages that their workers did not survive",
		},
	}
	advisories := &list[len(list)-1] // on our queues; there may be other pipelines in the account
	for _, s := range list {
		if s.Queue {
			advisories.Subjects = append(advisories.Subjects, AdvisoryMaxDeliveries+"."+s.Name+".*")
		}
	}
	return list
}

// The consumers. A stage has one for each stream that it reads, and one named
// like itself on RETRY and on ADVISORIES.
const (
	ConsumerIngest     = "ingest"
	ConsumerResolve    = "resolve"
	ConsumerPublish    = "publish"
	ConsumerRefresh    = "refresh"
	ConsumerDiscovered = "discovered"
	ConsumerSync       = "sync"
	ConsumerLive       = "live"
	ConsumerSurvey     = "survey"
	ConsumerFetch      = "fetch"
)

// Consumers lists the consumers of relaymesh: first those that do a stage's
// work, then each stage's on RETRY and ADVISORIES.
func Consumers() []Consumer {
	list := []Consumer{
		{
			Name: ConsumerIngest, Stream: StreamIntake, Stage: StageIngest, Filters: Streams()[0].Subjects,
			InFlight: 1024, Largest: 256, Apart: true,
		},
		{
			Name: ConsumerPublish, Stream: StreamRelayList, Stage: StageDHTWorker, Filters: []string{RelayListSignedSubject("*")},
			InFlight: waiting,
		},
		{
			Name: ConsumerRefresh, Stream: StreamRecordDue, Stage: StageDHTWorker, Filters: []string{RecordDueSubject("*")},
			InFlight: 4, Apart: true,
		},
		{Name: ConsumerResolve, Stream: StreamAuthor, Stage: StageDHTWorker, Filters: []string{AuthorSeenSubject("*")}, InFlight: waiting},
		{Name: ConsumerDiscovered, Stream: StreamRelay, Stage: StageSyncWorker, Filters: []string{RelayDiscoveredSubject("*")}, InFlight: 16},
		{
			Name: ConsumerSync, Stream: StreamSyncDue, Stage: StageSyncWorker, Filters: []string{SyncDueSubject("*")},
			InFlight: waiting, Apart: true,
		},
		{
			Name: ConsumerLive, Stream: StreamLive, Stage: StageSyncWorker, Filters: []string{LiveDueSubject("*")},
			InFlight: MaxLive, Holds: true, Apart: true,
		},
		{
			Name: ConsumerSurvey, Stream: StreamSurveyDue, Stage: StageSyncWorker, Filters: []string{SurveyDueSubject("*")},
			InFlight: 2, Apart: true,
		},
		{Name: ConsumerFetch, Stream: StreamNote, Stage: StageFetcher, Filters: []string{NoteMissingSubject("*")}, InFlight: waiting},
	}
	for _, stage := range Stages() {
		var advisories []string
		holds := false // which comes on RETRY as well
		for _, c := range list {
			if c.Stage == stage && c.Stream != StreamRetry && c.Stream != StreamAdvisories {
				holds = holds || c.Holds
				advisories = append(advisories, AdvisoryMaxDeliveries+"."+c.Stream+"."+c.Name)
			}
		}
		advisories = append(advisories, AdvisoryMaxDeliveries+"."+StreamRetry+"."+stage)
		list = append(
			list,
			Consumer{Name: stage, Stream: StreamRetry, Stage: stage, Filters: []string{RetrySubjects(stage)}, InFlight: waiting, Holds: holds},
			Consumer{Name: stage, Stream: StreamAdvisories, Stage: stage, Filters: advisories, InFlight: 4},
		)
	}
	for i := range list {
		list[i].AckWait = 30 * time.Second
	}
	return list
}

// Bucket describes a JetStream KV bucket as data.
type Bucket struct {
	Name string
	Doc  string
	// TTL is how long a value lives after its last write; 0 is for ever, or as
	// long as its writer says.
	TTL      time.Duration
	MaxBytes int64 // 0 is unbounded; a full bucket takes no new keys
	// Hidden says that the console does not show it.
	Hidden bool
	// MaxValue is how many bytes a value has at most; 0 is as many as a message may have. A
	// bucket that has it is written by [AccountFeeders]: no writer says how long a value lives.
	MaxValue int32
}

// The KV buckets.
const (
	BucketAuthors  = "authors"
	BucketRecords  = "records"
	BucketRelays   = "relays"
	BucketLinks    = "links"
	BucketSyncs    = "syncs"
	BucketRefused  = "refused"
	BucketSurveys  = "surveys"
	BucketCursors  = "cursors"
	BucketHeard    = "heard"
	BucketLost     = "lost"
	BucketWorkers  = "workers"
	BucketHistory  = "history"
	BucketGateways = "gateways"
)

// MaxLostFor bounds how long a note is held to be lost.
const MaxLostFor = 24 * time.Hour

// Buckets lists the KV buckets of relaymesh. All they hold can be rebuilt from
// the relays and the DHT.
func Buckets() []Bucket {
	return []Bucket{
		{Name: BucketAuthors, Doc: "pubkey → what is known of an author (Author)"},
		{Name: BucketRecords, Doc: "slice.target → a BEP 44 item to be kept alive (Record)"},
		{Name: BucketRelays, Doc: "relay key → a relay, its NIP-11 answer (Relay)"},
		{Name: BucketLinks, Doc: "relay key.pubkey → who writes where, by which evidence (Link)"},
		{Name: BucketSyncs, Doc: "relay key → progress and figures of the last sync (Sync)"},
		{Name: BucketRefused, Doc: "relay key.event id → why a sync with that relay leaves an event out; expires (Refused)", MaxBytes: 512 << 20},
		{Name: BucketSurveys, Doc: "slice of the authors → at which relays they were looked for, and what that yielded (Survey)"},
		{Name: BucketCursors, Doc: "relay key → how far the tail of a relay was read (Cursor)", Hidden: true},
		{Name: BucketHeard, Doc: "relay key.part → which events the tail of a relay has handed to the intake (Heard)", Hidden: true},
		{Name: BucketLost, Doc: "note → it was looked for in vain, lately (Lost)", TTL: MaxLostFor},
		{Name: BucketWorkers, Doc: "an instance of stages → what it needs and does not have (Worker)", TTL: WorkerFor},
		{
			Name: BucketGateways, Doc: "a gateway that runs without stages → its figures (GatewayProcess)", TTL: WorkerFor,
			MaxBytes: 256 << 10, MaxValue: 4 << 10,
		},
		{Name: BucketHistory, Doc: "five minutes → how all stood then, as a console counted it (Figures)", TTL: HistoryFor, MaxBytes: 16 << 20},
	}
}
