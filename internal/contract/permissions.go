package contract

import (
	"maps"
	"slices"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// Permissions are the subjects that a NATS user may publish and subscribe to.
type Permissions struct {
	Publish   []string `json:"publish"`
	Subscribe []string `json:"subscribe"`
	// Responses lets the user answer requests, each once, wherever the caller
	// wants the answer.
	Responses bool `json:"allow_responses,omitempty"`
}

// RoleRelay is the user of relays and other programs that feed relaymesh and
// ask its services: the feeders. It belongs into [AccountFeeders].
const RoleRelay = "relay"

// RoleGateway is the user of gateways, which hand in what their relay accepts, ask for
// what it lacks, and tell how they do. It belongs into [AccountFeeders]: strangers reach gateways.
const RoleGateway = "gateway"

// subjectGateways are the keys of bucket gateways: one token each.
const subjectGateways = "$KV." + BucketGateways + ".*"

// AccountFeeders is the NATS account of the feeders. JetStream sends its
// acknowledgements, and a service its answer, to whatever subject the sender
// names. In the account of the pipeline that can be the JetStream API or a key
// of a bucket; from an account of their own the feeders name only subjects of
// that account, which has none of the pipeline's beside [Prefix.Exported].
const AccountFeeders = "FEEDERS"

// IsInbox reports whether a service may answer to that subject: it begins as the
// inboxes of clients do, or as the server writes a reply to another account.
func IsInbox(reply string) bool {
	return strings.HasPrefix(reply, "_INBOX.") || strings.HasPrefix(reply, "_INBOX_") || strings.HasPrefix(reply, "_R_.")
}

// FromOutside reports whether a call with that reply subject, which is an inbox, comes from
// another account, of feeders.
func FromOutside(reply string) bool { return strings.HasPrefix(reply, "_R_.") }

// RoleConsole is the user of the console, which reads what all stages do, and
// may hand back dead letters or remove them, and write the history of figures.
const RoleConsole = "console"

// BucketsOf names the buckets that a stage reads or writes.
func BucketsOf(stage string) []string {
	list := []string{BucketWorkers}
	for _, b := range stageAccess[stage].buckets {
		list = append(list, b.name)
	}
	return list
}

// InboxPrefix is where the user of a stage or role receives replies; its
// connection must be told so (nats.CustomInboxPrefix).
func InboxPrefix(name string) string { return "_INBOX_" + name }

// access is what a stage does beside consuming: the bus adds what that needs.
type access struct {
	outputs   []string // subjects of what it publishes
	schedules []string // subjects that it has published on a schedule
	buckets   []bucketAccess
	serves    map[string]string // name and subject of NATS services
	calls     []string          // subjects of NATS services
	listens   []string          // subjects outside of JetStream
	watches   []string          // streams that it tells of in its metrics, though no stage consumes them
}

type bucketAccess struct {
	name            string
	get, put, lists bool
	few             bool // lists those whose keys end in one name, too
}

var stageAccess = map[string]access{
	StageIngest: {
		outputs: []string{
			events.SubjectEventReceived, AuthorSeenSubject("*"), RelayListSignedSubject("*"), RelayDiscoveredSubject("*"), NoteMissingSubject("*"),
			events.SubjectDAGWanted,
		},
		buckets: []bucketAccess{
			{name: BucketAuthors, get: true, put: true},
			{name: BucketRecords, get: true, put: true},
			{name: BucketLinks, get: true, put: true, lists: true, few: true},
			{name: BucketCursors, get: true, put: true},
			{name: BucketHeard, get: true, put: true, lists: true},
		},
		watches: []string{StreamOutcome, StreamDLQ},
	},
	StageDHTWorker: {
		outputs: []string{
			events.SubjectEventReceived, RelayDiscoveredSubject("*"), events.SubjectRecordPublished, events.SubjectRecordResolved,
		},
		schedules: []string{AuthorSeenSubject("*")},
		buckets: []bucketAccess{
			{name: BucketAuthors, get: true, put: true},
			{name: BucketRecords, get: true, put: true, lists: true},
			{name: BucketRelays, get: true, put: true, lists: true},
			{name: BucketLinks, get: true, put: true, lists: true, few: true},
		},
		serves: map[string]string{NameListResolve: events.ServiceListResolve},
		calls:  []string{events.ServiceListResolve}, // of others at another address
	},
	StageSyncWorker: {
		outputs:   []string{events.SubjectEventReceived, SyncDueSubject("*"), LiveDueSubject("*"), events.SubjectSyncFinished},
		schedules: []string{SyncDueSubject("*"), SurveyDueSubject("*")},
		buckets: []bucketAccess{
			{name: BucketAuthors, get: true, lists: true},
			{name: BucketRelays, get: true, put: true, lists: true},
			{name: BucketLinks, get: true, put: true, lists: true, few: true},
			{name: BucketSyncs, get: true, put: true},
			{name: BucketRefused, get: true, put: true, lists: true},
			{name: BucketSurveys, get: true, put: true},
		},
	},
	StageFetcher: {
		outputs: []string{events.SubjectEventReceived, events.SubjectNoteFound, events.SubjectNoteLost},
		buckets: []bucketAccess{
			{name: BucketAuthors, get: true},
			{name: BucketRelays, get: true},
			{name: BucketLinks, lists: true, few: true},
			{name: BucketLost, get: true, put: true},
		},
		serves:  map[string]string{NameNoteFetch: events.ServiceNoteFetch},
		calls:   []string{events.ServiceListResolve},
		listens: []string{events.SubjectDAGWanted}, // in builds with the tag scionic
	},
}

// PermissionsOf are those of [Prefix.PermissionsOf] without a prefix.
func PermissionsOf(name string) (Permissions, bool) { return Prefix("").PermissionsOf(name) }

// PermissionsOf returns exactly what a stage, [RoleRelay], [RoleGateway] or
// [RoleConsole] needs, and whether there is one of that name. No stage can make or change a stream, a
// consumer or a bucket.
//
// JetStream cannot narrow everything down: a stage that may make dead letters of
// messages of RETRY can read and delete any that wait there.
func (p Prefix) PermissionsOf(name string) (Permissions, bool) {
	switch name {
	case RoleRelay:
		return p.relayPermissions(), true
	case RoleGateway:
		return Permissions{
			Publish:   p.subjects([]string{subjectGateways, events.SubjectEventReceived, events.ServiceNoteFetch}),
			Subscribe: []string{InboxPrefix(p.Name(RoleGateway)) + ".>"},
		}, true
	case RoleConsole:
		return p.consolePermissions(), true
	}
	a, ok := stageAccess[name]
	if !ok {
		return Permissions{}, false
	}
	publish := map[string]bool{}
	api := func(subjects ...string) { // of JetStream
		for _, s := range subjects {
			publish[s] = true
		}
	}
	allow := func(subjects ...string) { api(p.subjects(subjects)...) } // of the pipeline
	allow(DLQSubject(name), PrefixSchedule+RetrySubjects(name))
	for _, c := range p.Consumers() {
		if c.Stage != name {
			continue
		}
		at := c.Stream + "." + c.Name
		api("$JS.API.CONSUMER.INFO."+at, "$JS.API.CONSUMER.MSG.NEXT."+at, "$JS.ACK."+at+".>")
		if c.Stream != p.Name(StreamAdvisories) { // to dead-letter what was delivered too often
			api("$JS.API.STREAM.INFO."+c.Stream, "$JS.API.DIRECT.GET."+c.Stream, "$JS.API.STREAM.MSG.DELETE."+c.Stream)
		}
	}
	allow(a.outputs...)
	for _, c := range Consumers() { // to see how many messages wait
		if s := streamNamed(c.Stream); s.MaxWaiting > 0 &&
			slices.ContainsFunc(a.outputs, func(out string) bool { return slices.Contains(s.Subjects, out) }) {
			api("$JS.API.CONSUMER.INFO." + p.Name(c.Stream) + "." + c.Name)
		}
	}
	allow(a.calls...)
	for _, stream := range a.watches {
		api("$JS.API.STREAM.INFO." + p.Name(stream))
	}
	for _, subject := range a.schedules { // each is compared with the stored one
		stream, schedule := p.Name(streamOf(subject)), p.Subject(PrefixSchedule+subject)
		api("$JS.API.STREAM.INFO."+stream, "$JS.API.DIRECT.GET."+stream+"."+schedule, schedule)
	}
	for _, b := range append(slices.Clone(a.buckets), bucketAccess{name: BucketWorkers, get: true, put: true}) {
		stream, keys := p.Name("KV_"+b.name), p.Subject("$KV."+b.name+".>")
		api("$JS.API.STREAM.INFO." + stream)
		if b.get {
			api("$JS.API.DIRECT.GET." + stream + "." + keys)
		}
		if b.put {
			api(keys)
		}
		if b.few {
			api("$JS.API.DIRECT.GET." + stream)
		}
		if b.lists {
			api("$JS.API.CONSUMER.CREATE."+stream+".*."+keys, "$JS.API.CONSUMER.MSG.NEXT."+stream+".*",
				"$JS.API.CONSUMER.INFO."+stream+".*", "$JS.API.CONSUMER.DELETE."+stream+".*")
		}
	}
	out := Permissions{
		Publish: slices.Sorted(maps.Keys(publish)), Subscribe: []string{InboxPrefix(p.Name(name)) + ".>"}, Responses: len(a.serves) > 0,
	}
	for service, subject := range a.serves {
		out.Subscribe = append(out.Subscribe, p.Subject(subject))
		for _, verb := range []string{"PING", "INFO", "STATS"} { // of the services framework (ADR-32)
			out.Subscribe = append(out.Subscribe, "$SRV."+verb, "$SRV."+verb+"."+service, "$SRV."+verb+"."+service+".*")
		}
	}
	out.Subscribe = append(out.Subscribe, p.subjects(a.listens)...)
	slices.Sort(out.Subscribe)
	return out, true
}

// relayPermissions let feeders do all that their account can but be gateways. The commands of the
// ingest binary that feed it receive at the inbox of its stage, with either key.
func (p Prefix) relayPermissions() Permissions {
	services, streams := p.Exported()
	return Permissions{
		Publish:   slices.DeleteFunc(services, func(s string) bool { return s == p.Subject(subjectGateways) }),
		Subscribe: append([]string{InboxPrefix(p.Name(RoleRelay)) + ".>", InboxPrefix(p.Name(StageIngest)) + ".>"}, streams...),
	}
}

// consolePermissions lets the console look into every stream and bucket where
// something is that people want to know, without consumers of its own, and
// change none but the dead letters and the history of figures.
func (p Prefix) consolePermissions() Permissions {
	history := p.Subject("$KV." + BucketHistory + ".>")
	publish := []string{
		"$JS.API.STREAM.MSG.DELETE." + p.Name(StreamDLQ), p.Subject(RetrySubjects("*")), history,
		"$JS.API.DIRECT.GET." + p.Name("KV_"+BucketHistory) + "." + history,
	}
	look := func(stream string, closely bool) {
		publish = append(publish, "$JS.API.STREAM.INFO."+p.Name(stream))
		if closely {
			publish = append(publish, "$JS.API.DIRECT.GET."+p.Name(stream))
		}
	}
	for _, s := range Streams() {
		if s.Name != StreamAdvisories {
			look(s.Name, s.Name != StreamIntake && s.Name != StreamLive)
		}
	}
	for _, b := range Buckets() {
		if !b.Hidden {
			look("KV_"+b.Name, true)
		}
	}
	for _, c := range Consumers() {
		if c.Stream != StreamAdvisories {
			publish = append(publish, "$JS.API.CONSUMER.INFO."+p.Name(c.Stream)+"."+c.Name)
		}
	}
	slices.Sort(publish)
	return Permissions{Publish: publish, Subscribe: []string{InboxPrefix(p.Name(RoleConsole)) + ".>"}}
}

func streamNamed(name string) Stream {
	list := Streams()
	return list[slices.IndexFunc(list, func(s Stream) bool { return s.Name == name })]
}

// streamOf names the stream that takes a pattern of subjects.
func streamOf(pattern string) string {
	for _, s := range Streams() {
		if slices.Contains(s.Subjects, pattern) {
			return s.Name
		}
	}
	panic("contract: no stream takes " + pattern)
}
