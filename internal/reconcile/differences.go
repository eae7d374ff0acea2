package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxDiffer is how many ids one side may lack in a span of time that is told of at
// once; a span that differs in more is cut in two.
const maxDiffer = 100_000

// Compared is what became of a comparison.
type Compared struct {
	// Complete says that the relay has shown all that it has.
	Complete bool
	// Paged says that the relay was read, as it does not speak NIP-77.
	Paged bool
}

// Differences compares what a relay has of a filter with a set of ids and dates, and
// writes nothing. tell is called for each span of time with the ids that are
// only on one side, up to 100,000 of each; its error ends the comparison. The
// filter may have dates only, and the set holds nothing beyond them. Errors are those
// of [Sync].
func Differences(
	ctx context.Context, relay Side, set negentropy.Store, filter nostr.Filter, tell func(onlyRelay, onlySet []negentropy.ID) error,
) (Compared, error) {
	r := newRun(relay, Side{Relay: setRelay{nothing, set, false}, Name: "the set"}, filter, Options{})
	r.differ = tell
	result, err := r.sync(ctx)
	return Compared{Complete: result.Complete, Paged: r.sessions[negentropy.SideA].no77 != nil}, err
}

// lacks notes an id that a side lacks, if somebody wants to know.
func (r *run) lacks(f *findings, to negentropy.Side, id negentropy.ID) error {
	if r.differ == nil {
		return nil
	}
	if len(f.lacks[to]) == maxDiffer {
		has := r.sessions[to.Other()]
		return has.fail(fmt.Errorf("%w: it has %d events that %s lacks", ErrTooLarge, maxDiffer, r.sessions[to].Name))
	}
	f.lacks[to] = append(f.lacks[to], id)
	return nil
}

// spread has the suspects be of all that a side lacks, if that is known: the first ones
// to be found are of the part that a side shows whose sets are cut short.
func (f *findings) spread() {
	for to, lacks := range f.lacks {
		if len(lacks) > maxSuspects {
			f.suspects[to] = f.suspects[to][:0]
			for i := range maxSuspects {
				f.suspect(negentropy.Side(to), lacks[len(lacks)-1-i*len(lacks)/maxSuspects])
			}
		}
	}
}

// setRelay is a side of which the ids are known, and no events.
type setRelay struct {
	Relay

	set   negentropy.Store
	whole bool // see [negentropy.Options]
}

// nothing is a relay that has no events and takes none.
var nothing = Through(func(_ context.Context, q *Request, _ Ask) error {
	if q.Op == OpQuery || q.Op == OpLimits {
		return nil
	}
	return errors.ErrUnsupported
})

func (s setRelay) Open(ctx context.Context, filter nostr.Filter, first []byte) (Session, []byte, error) {
	until := uint64(filter.Until)
	if until == 0 {
		until--
	}
	set := negentropy.Range(s.set, uint64(filter.Since), until)
	return openSet(ctx, set, first, negentropy.Options{FrameLimit: nearAnswers, Whole: s.whole})
}

// OverSet is a relay whose sessions are answered from the set as it is when they are
// opened: what else is asked goes to the relay. The set must be what the relay
// has of all filters that it is asked for, but for their dates; so many sessions with
// others cost the relay one reading. They begin with one fingerprint of all, since most relays that are asked
// again and again have nothing new.
func OverSet(relay Relay, set *negentropy.Tree) Relay { return overSet{relay, set} }

type overSet struct {
	Relay

	set *negentropy.Tree
}

func (o overSet) Open(ctx context.Context, filter nostr.Filter, first []byte) (Session, []byte, error) {
	return setRelay{o.Relay, o.set.Snapshot(), true}.Open(ctx, filter, first)
}

// held returns what reports whether the set has an event, as it is now.
func (o overSet) held() func(*nostr.Event) bool {
	set := o.set.Snapshot()
	return func(e *nostr.Event) bool {
		id, err := negentropy.ParseID(e.ID)
		if err != nil || e.CreatedAt < 0 {
			return false
		}
		item := negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id}
		i := set.Search(0, item)
		return i < set.Len() && set.At(i) == item
	}
}

// nearAnswers bounds a message of a set that is held here, in bytes. A large one keeps a relay that has few events of
// those in the set from being asked for them in many parts.
const nearAnswers = 20 * negentropy.DefaultMessageLimit

// OpenSet opens a session with a set that is held in this process, for transports
// whose relay is one. The set must not change.
func OpenSet(ctx context.Context, set negentropy.Store, first []byte) (Session, []byte, error) {
	return openSet(ctx, set, first, negentropy.Options{FrameLimit: nearAnswers})
}

func openSet(ctx context.Context, set negentropy.Store, first []byte, o negentropy.Options) (Session, []byte, error) {
	s := setSession{negentropy.NewReconciler(set, o)}
	answer, err := s.Exchange(ctx, first)
	return s, answer, err
}

type setSession struct{ *negentropy.Reconciler }

func (s setSession) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	answer, err := s.Respond(msg)
	return bytes.Clone(answer), err
}

func (setSession) Close() {}
