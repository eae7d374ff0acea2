package contract

import (
	"strconv"
	"time"

	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The values of the KV buckets. All times are Unix seconds.

// Author is the value of bucket authors, under the pubkey.
type Author struct {
	// DHTKey is the ed25519 key of the author's BEP 44 record, in hex.
	// DHTKeyBy is the pubkey that said so: the author's own claim replaces
	// anyone's, a stranger's only fills a gap. DHTKeyAt is when it was said.
	DHTKey   string `json:"dht_key,omitempty"`
	DHTKeyBy string `json:"dht_key_by,omitempty"`
	DHTKeyAt int64  `json:"dht_key_at,omitempty"`

	FirstSeen   int64 `json:"first_seen"`
	LastSeen    int64 `json:"last_seen"`
	NextResolve int64 `json:"next_resolve"`

	// Lists are the author's own relay lists by source ([ViaNIP65], [ViaDHT],
	// [ViaNIP78]): no list that only others attribute to the author, see [List.Key].
	Lists map[string]List `json:"lists,omitempty"`
	// Records are the targets of the author's records in bucket records, at
	// most [MaxRecords], and when each was first taken.
	Records map[string]int64 `json:"records,omitempty"`
}

// WriteRelays returns the relays that the author's own lists say they write to,
// by the weight of the [Sources], each once.
func (a Author) WriteRelays() (urls []string) {
	for _, via := range Sources() {
		for _, url := range a.Lists[via].Write {
			if !nostr.HasRelay(urls, url) {
				urls = append(urls, url)
			}
		}
	}
	return urls
}

// MaxRecords is how many BEP 44 records are kept alive for one author: enough
// for some keys or salts, few enough that nobody fills the DHT through us.
const MaxRecords = 8

// Record is the value of bucket records: a BEP 44 item to be kept alive.
type Record struct {
	DHTKey string `json:"dht_key"`        // 32 bytes hex
	Salt   string `json:"salt,omitempty"` // hex
	Seq    int64  `json:"seq"`
	Value  []byte `json:"value"` // bencoded
	Sig    string `json:"sig"`   // 64 bytes hex
	PubKey string `json:"pubkey"`
	Event  string `json:"event,omitempty"` // id of the event that carried it

	// Nodes are the closest to the target when last asked, at most 12 and 26
	// bytes each: node id, IPv4 address, port (BEP 5 compact node info). The
	// next refresh starts from them. The first Held of them held the record.
	Nodes []byte `json:"nodes,omitempty"`
	Held  int    `json:"held,omitempty"`
	// Trust is 3 once the nodes have proved that they keep the record for
	// longer than the two hours that BEP 44 asks for, less on the way there,
	// and negative for a day after they were found to forget it.
	Trust      int   `json:"trust,omitempty"`
	VerifiedAt int64 `json:"verified_at,omitempty"` // last time that it was read back
	NextDue    int64 `json:"next_due"`
	Failures   int   `json:"failures,omitempty"` // passes in a row that found too few holders
	// Superseded says that the item came from the network, where a higher
	// seq of the same key was found, and not from the user's event.
	Superseded bool `json:"superseded,omitempty"`
}

// Relay is the value of bucket relays, under the relay key.
type Relay struct {
	URL       string `json:"url"`
	Via       string `json:"via"`
	FirstSeen int64  `json:"first_seen"`
	ProbedAt  int64  `json:"probed_at,omitempty"` // last NIP-11 answer
	Name      string `json:"name,omitempty"`
	Software  string `json:"software,omitempty"`
	NIPs      []int  `json:"nips,omitempty"`
	Error     string `json:"error,omitempty"` // of the last probe
	// Hornets is where the relay is on libp2p, if it said so in its last
	// NIP-11 document and signed it.
	Hornets *Hornets `json:"hornets,omitempty"`

	// ProbeFailures is how many probes in a row got no answer, and NextProbe
	// when the next one may be.
	ProbeFailures int   `json:"probe_failures,omitempty"`
	NextProbe     int64 `json:"next_probe,omitempty"`

	// Failures is how many syncs in a row failed by the relay's fault, Fault
	// why the last one did, RetryAt when the next one may be (0 is now), and
	// LatencyMS how long its first answers take, smoothed.
	Failures  int    `json:"failures,omitempty"`
	Fault     string `json:"fault,omitempty"`
	RetryAt   int64  `json:"retry_at,omitempty"`
	LatencyMS int64  `json:"latency_ms,omitempty"`

	// Answered is when the relay first answered a sync; values of before have none.
	Answered int64 `json:"answered,omitempty"`
	// Delivered is when the relay last delivered events that the local relay
	// lacked, of authors whom its users follow; see [Relay.Proven].
	Delivered int64 `json:"delivered,omitempty"`

	// Named is when the relay was last named by the way, in a note or by a monitor
	// (NIP-66), to the day; 0 is never.
	Named int64 `json:"named,omitempty"`

	// MostAuthors is how many authors a filter may name there, as it has refused larger
	// ones; 0 is as many as elsewhere.
	MostAuthors int `json:"most_authors,omitempty"`

	// AuthRequired says that the relay's NIP-11 document wants AUTH of all clients.
	AuthRequired bool `json:"auth_required,omitempty"`

	// SurveyedAt is when a survey last asked the relay, SurveyFailures how often in a
	// row that failed by the relay's fault, SurveyFault why, and SurveyRetryAt when
	// the next one may be (0 is now).
	SurveyedAt     int64  `json:"surveyed_at,omitempty"`
	SurveyFailures int    `json:"survey_failures,omitempty"`
	SurveyFault    string `json:"survey_fault,omitempty"`
	SurveyRetryAt  int64  `json:"survey_retry_at,omitempty"`
	// SurveyRoomAt is until when surveys leave the relay alone since it was asked for as many
	// sessions lately, by syncs too, as it is to be asked for (0 is now).
	SurveyRoomAt int64 `json:"survey_room_at,omitempty"`
	// Asked are the times at which surveys have asked for a session within an hour, the latest
	// 12: with those of syncs ([Sync]) no more are asked for.
	Asked []int64 `json:"asked,omitempty"`
}

// ForgetAfter is after how long what was learnt of strangers goes: relays that
// never answered, and that a relay has proved itself.
const ForgetAfter = 30 * 24 * time.Hour

// Proven reports whether the relay has proved by now that it is worth more than a
// share of what strangers get: it was named by the operator, or has delivered
// what users wanted.
func (r *Relay) Proven(now int64) bool {
	return r.Via == ViaManual || r.Delivered > now-int64(ForgetAfter/time.Second)
}

// Stranger reports whether a relay can go: it has never answered, nobody named it
// but strangers, and that is long ago.
func (r *Relay) Stranger(now int64) bool {
	failed := r.Failures+r.ProbeFailures > 0 // in earlier versions also those count that have not
	return failed && r.FirstSeen != 0 && r.FirstSeen < now-int64(ForgetAfter/time.Second) && !r.HasAnswered() && !r.Proven(now)
}

// Unasked reports whether a relay can go if nobody writes or reads there: it was never
// asked, nor named by the way for long, and is not the operator's.
func (r *Relay) Unasked(now int64) bool {
	named := max(r.FirstSeen, r.Named, r.SurveyedAt)
	return r.FirstSeen != 0 && named < now-int64(ForgetAfter/time.Second) && !r.HasAnswered() && !r.Proven(now)
}

// HasAnswered reports whether the relay has ever answered a probe or a sync.
func (r *Relay) HasAnswered() bool { return r.ProbedAt != 0 || r.LatencyMS != 0 || r.Answered != 0 }

// LongHere is after how long an author is no stranger any more.
const LongHere = 7 * 24 * time.Hour

// Known reports whether the author has been here for long, and so comes before
// keys that anybody may have made today.
func (a *Author) Known(now int64) bool {
	return a.FirstSeen != 0 && a.FirstSeen <= now-int64(LongHere/time.Second)
}

// Hornets is the signed extension of a HORNETS relay's NIP-11 document.
// Whether its addresses may be dialled is not said.
type Hornets struct {
	PubKey string   `json:"pubkey"`  // of the relay, which signed
	PeerID string   `json:"peer_id"` // libp2p, base58
	Addrs  []string `json:"addrs"`   // multiaddrs
}

// Link is the value of bucket links, under relay key and pubkey: the evidence
// that an author writes to a relay, by source, with the version of the list
// that says so ([List]; 0 for a hint), and for [ViaDelivered] the time.
type Link struct {
	URL string           `json:"url"`
	Via map[string]int64 `json:"via"`
	// Delivered is how many events of the author the relay has delivered that the
	// local relay lacked; it decays, and is right at the time of [ViaDelivered].
	Delivered int `json:"delivered,omitempty"`
	// Key is the [List.Key] of the list that is the evidence of [ViaDHT].
	Key string `json:"key,omitempty"`
	// Read says that a sync has read to its beginning what the relay has of the author, if it
	// is read page by page, see [Sync.Paged].
	Read *Read `json:"read,omitempty"`
}

// Read is when a relay that is read page by page was last read to its beginning, and when it is to be again.
type Read struct {
	At    int64 `json:"at"`
	Again int64 `json:"again"`
	// By is the filter, without authors, by which it was, see [nostr.Filter.Key].
	By string `json:"by,omitempty"`
}

// Sync is the value of bucket syncs, under the relay key.
type Sync struct {
	URL      string              `json:"url"`
	LastOK   int64               `json:"last_ok,omitempty"`
	LastTry  int64               `json:"last_try"`
	Failures int                 `json:"failures,omitempty"` // in a row
	Last     events.SyncFinished `json:"last"`
	// Stored counts the events that all syncs have written to the local relay.
	Stored int `json:"stored,omitempty"`
	// Cause is that of the message that Last is about, over all its attempts.
	Cause string `json:"cause,omitempty"`
	// Through says that what the relay held by then has been compared.
	Through int64 `json:"through,omitempty"`
	// Live says that what the relay received by then, and is dated later than
	// Through, came by a live subscription.
	Live int64 `json:"live,omitempty"`
	// Progress is the sync that is under way, or was when its worker died.
	Progress *SyncProgress `json:"turn,omitempty"`
	// Paged says that the relay is read page by page, as it does not speak NIP-77. What was read of
	// its writers is in their links.
	Paged *Paged `json:"paged,omitempty"`
	// SampledAt is when REQs were last asked whether they say what its sessions do.
	SampledAt int64 `json:"sampled_at,omitempty"`
	// Asked is that of [Relay], of syncs.
	Asked []int64 `json:"asked,omitempty"`
	// Doubt is in what the relay has contradicted itself, if it has.
	Doubt *Doubt `json:"doubt,omitempty"`
	// GaveBack are ids of a few events, the newest first, that the relay was given
	// and gave back when asked. If it has none of them later it does not keep what
	// it is given.
	GaveBack []string `json:"gave_back,omitempty"`
}

// Paged is how far a relay is read that is read page by page, by the keys of filters.
type Paged struct {
	Read map[string]Read `json:"read,omitempty"`
}

// Doubt is how a relay is treated, for [DoubtFor], that has contradicted itself: its
// sessions, its answers to REQs and its OKs do not agree. Why says it in a sentence.
type Doubt struct {
	At        int64  `json:"at"`
	Why       string `json:"why"`
	Listed    bool   `json:"listed,omitempty"`    // it is compared by REQs, not by sessions
	Unwritten bool   `json:"unwritten,omitempty"` // it is not written to
}

// DoubtFor is how long a [Doubt] stands.
const DoubtFor = 7 * 24 * time.Hour

// SyncProgress is how far a sync of several filters has come.
type SyncProgress struct {
	Begun int64    `json:"begun"`
	Done  []string `json:"done"`         // keys of the filters that are complete since, see [nostr.Filter.Key]
	Of    int      `json:"of,omitempty"` // how many filters there are
	// Part is a filter of which a part is complete.
	Part *SyncPart `json:"part,omitempty"`
}

// SyncPart is how far a filter of a sync has come that is compared in parts, the newest first.
type SyncPart struct {
	Key   string `json:"key"`
	At    int64  `json:"at"`    // when the first part began
	Until int64  `json:"until"` // the created_at up to which it is left to be compared
	Yield
}

// Yield is what came of all that a relay was asked for by a filter, so far as it says whether there is more.
type Yield struct {
	Brought  bool  `json:"brought,omitempty"`  // events, or some were refused now
	Bytes    int64 `json:"bytes,omitempty"`    // of all events that were read
	Withheld bool  `json:"withheld,omitempty"` // something did not come as it was listed
	Earlier  bool  `json:"earlier,omitempty"`  // something was not asked for, as it was refused earlier
}

// Plus returns what came of two parts.
func (y Yield) Plus(z Yield) Yield {
	return Yield{y.Brought || z.Brought, y.Bytes + z.Bytes, y.Withheld || z.Withheld, y.Earlier || z.Earlier}
}

// Refused is the value of bucket refused, under relay key and event id: why a
// sync of the local relay with that relay does not transfer the event. It
// expires, as policies change.
type Refused struct {
	// Local says that the local relay is not given the event, else it is the
	// other one.
	Local bool   `json:"local,omitempty"`
	Why   string `json:"why"`
	// By is who says so: "rules" (ours) or "relay". Values of before have none.
	By string `json:"by,omitempty"`
	At int64  `json:"at"`
}

// Cursor is the value of bucket cursors, under the relay key: how far the tail
// of a relay has been read without a gap.
type Cursor struct {
	URL   string `json:"url"`
	Since int64  `json:"since"`
	// Compared is the date up to which the relay is to be compared next with what was
	// heard of it, 0 for the newest.
	Compared int64 `json:"compared,omitempty"`
}

// Heard is the value of bucket heard, under relay key and where the part begins: a
// part of the events that the tail of a relay has handed to the intake, in the order
// of their dates, then ids. Each is the seconds since the one before (the first:
// since 1970) as an unsigned varint, and the 32 bytes of the id.
type Heard struct {
	Events []byte `json:"events"`
}

// Lost is the value of bucket lost, under the key of a note
// ([events.NoteMissing.Key]): it was looked for At in vain, is not looked for again
// before Until, and Relays were asked. Only another relay is worth asking
// meanwhile.
type Lost struct {
	At     int64    `json:"at"`
	Until  int64    `json:"until"`
	Relays []string `json:"relays,omitempty"`
	Why    string   `json:"why"`
}

// Figures is the value of bucket history, under [HistoryKey]: how all stood at one time.
// The first console that comes writes it, and nobody changes it.
type Figures struct {
	At       int64 `json:"at"`
	Users    int   `json:"users"`
	Findable int   `json:"findable"`               // users with a record that DHT nodes held
	Lost     int   `json:"records_lost,omitempty"` // records that no node held
	// Live are the relays that answer, Complete those of them that the local relay was
	// proved complete with, and Failing those whose last sync failed.
	Live     int `json:"live"`
	Complete int `json:"complete"`
	Failing  int `json:"failing,omitempty"`
	Missing  int `json:"missing,omitempty"` // events
	// Wanted are the notes that were looked for; Found and InVain those of the hour before.
	Wanted      uint64            `json:"wanted,omitempty"`
	Found       uint64            `json:"found,omitempty"`
	InVain      uint64            `json:"in_vain,omitempty"`
	DeadLetters uint64            `json:"dead_letters,omitempty"`
	Lags        map[string]uint64 `json:"lags,omitempty"`  // messages that waited or were in work, by stage
	Wrong       []string          `json:"wrong,omitempty"` // names of what was not as it must be
}

// How often figures are kept, and for how long.
const (
	HistoryEvery = 5 * time.Minute
	HistoryFor   = 30 * 24 * time.Hour
)

// HistoryKey is the key of the [Figures] of a time in Unix seconds.
func HistoryKey(at int64) string { return strconv.FormatInt(at/int64(HistoryEvery/time.Second), 10) }
