package events

// The public subjects: relays and other producers publish here (JSON, see the
// payload types). Ingest consumes them all.
const (
	SubjectEventReceived   = "event.received"
	SubjectAuthorSeen      = "author.seen"
	SubjectRelayListSigned = "relaylist.signed"
	SubjectRelayDiscovered = "relay.discovered"
	SubjectNoteMissing     = "note.missing"
)

// HeaderSender is the NATS header by which a producer of event.received names
// itself, at most 256 bytes: a relay by its URL, say. Events of senders that
// send many bad signatures are slowed down; those without a name share one.
const HeaderSender = "Relaymesh-Sender"

// The outcome subjects: the stages publish here what happened.
const (
	SubjectRecordPublished = "record.published"
	SubjectRecordResolved  = "record.resolved"
	SubjectSyncFinished    = "sync.finished"
	SubjectNoteFound       = "note.found"
	SubjectNoteLost        = "note.lost"
	SubjectDAGWanted       = "dag.wanted"
)

// The request subjects of the NATS services.
const (
	// ServiceNoteFetch is answered by fetchers: [MissingNoteRequest] in,
	// [MissingNoteResponse] out, within the caller's deadline.
	ServiceNoteFetch = "relaymesh.note.fetch"
	// ServiceListResolve is answered by dhtworkers: [ResolveRequest] in,
	// [ResolveResponse] out.
	ServiceListResolve = "relaymesh.list.resolve"
)
