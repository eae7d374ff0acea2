package run

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/edge/jsonl"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/edge/worded"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// sampled is how many events of each side are asked of the other after a sync.
const sampled = 20

// Lines in place of a relay's URL means JSON lines: read from Sync.In, written
// to Sync.Out.
const Lines = "-"

// Sync is one sync of two relays, which needs no pipeline.
type Sync struct {
	A, B          string // normalised URLs, or multiaddrs with /p2p/; one of them may be Lines
	Filter        nostr.Filter
	Down, Up      bool // from B to A, from A to B; neither only counts
	UploadPrivate bool
	Key           *schnorr.SecretKey // answers relays that ask who we are (NIP-42); may be nil
	Denied        *deny.Lists        // what goes neither way; hosts are not dialled; nil denies nothing
	Libp2p        StartLibp2p        // reaches multiaddrs; may be nil if there are none
	In            io.Reader
	Out           io.Writer
	Log           *slog.Logger
	Progress      func(SyncFigures)         // see reconcile.Options
	Unreadable    func(line int, why error) // is told of lines of In that are no events

	// Of a group, see reconcile.Options.
	cache    *reconcile.Cache
	lacks    func(to negentropy.Side, id negentropy.ID)
	give     [2][]negentropy.ID
	unproved bool // another sync of the same relays follows, which takes a sample
}

// SyncFigures are the figures of a sync.
type SyncFigures = reconcile.Figures

// SyncResult is what a sync came to.
type SyncResult struct {
	SyncFigures

	Complete bool   // proved by a last comparison, but for Refusals
	Why      string // why it is not complete
	// Refusals are the first 1,000 events that still differ, and Left is how many
	// there are; NotOurs of them for other reasons than our own rules.
	Refusals      []SyncRefusal
	Left, NotOurs int
	Unreadable    int // lines of Sync.In that are no events
	// Doubts say in what a side has contradicted itself, a sentence each.
	Doubts []string

	doubts [2]reconcile.Doubt // of all parts
}

// SyncRefusal is an event that one side lacks still, and why.
type SyncRefusal struct {
	ID  string `json:"id"`
	To  string `json:"to"` // URL of the side that lacks it
	Why string `json:"why"`
	By  string `json:"by"` // relay, source or rules: who keeps it from that side
}

// Who keeps an event from a side, see SyncRefusal.
const (
	ByRelay  = "relay"  // that side refuses it
	BySource = "source" // the other side lists it, and does not deliver it so that it can be read
	ByRules  = "rules"  // ours
)

var causes = map[reconcile.Cause]string{
	reconcile.ByRelay: ByRelay, reconcile.ByEarlier: ByRelay, reconcile.BySource: BySource, reconcile.ByRules: ByRules,
}

// Run syncs until it is done or ctx ends. The result is right after an error,
// too, as far as it goes.
func (s Sync) Run(ctx context.Context) (result SyncResult, err error) {
	relays, err := s.relays(ctx, []string{s.A, s.B}, &result)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, relays.closeAll()) }()
	return result, s.pair(ctx, relays, &result)
}

// pair syncs the two relays, and adds to the result. What that says of their doubts
// already, holds.
func (s Sync) pair(ctx context.Context, relays relays, result *SyncResult) (err error) {
	names, sides := [2]string{s.A, s.B}, [2]reconcile.Side{}
	for i, name := range names {
		if sides[i].Relay, err = relays.At(ctx, name); err != nil {
			return err
		}
		if sides[i].Name = name; name == Lines {
			sides[i].Name = "standard input"
		}
	}
	options := reconcile.Options{
		Direction: s.direction(), UploadPrivate: s.UploadPrivate, Denied: s.Denied.Event, Sample: sampled,
		Cache: s.cache, Lacks: s.lacks,
	}
	result.Complete = true
	defer func() {
		for i, doubt := range result.doubts {
			if doubt.Some() {
				result.Doubts = append(result.Doubts, doubt.Sentence(sides[i].Name))
			}
		}
	}()
	if s.unproved {
		options.Sample = 0
	}
	parts := reconcile.Divide(s.Filter)
	if len(parts) == 1 { // else it is not known of which part an event is
		options.Give = s.give
	}
	for _, filter := range parts {
		done := result.SyncFigures
		if s.Progress != nil {
			options.Progress = func(f SyncFigures) { s.Progress(done.Plus(f)) }
		}
		for i, doubt := range result.doubts {
			sides[i].Listed = doubt.Unlisted()
		}
		r, err := reconcile.Sync(ctx, sides[0], sides[1], filter, options)
		result.add(r, names)
		if err != nil {
			return last(err)
		}
	}
	return nil
}

func (s Sync) direction() (d reconcile.Direction) {
	if s.Down {
		d |= reconcile.Down
	}
	if s.Up {
		d |= reconcile.Up
	}
	return d
}

// last leaves off when a relay would be tried again: nobody does when this ends.
func last(err error) error {
	if later := (*relay.BackoffError)(nil); errors.As(err, &later) {
		return worded.Error(reconcile.Named(later.URL, later.Err), err)
	}
	return err
}

// relays makes what reaches the relays of the sync, and reads the lines.
func (s Sync) relays(ctx context.Context, names []string, result *SyncResult) (r relays, err error) {
	options := relay.Options{AllowPrivate: true, Denied: s.Denied, Log: s.Log}
	if s.Key != nil {
		options.Auth = s.Key.SignEvent
	}
	r = newRelays(config.Config{}, options)
	r.world.Want("sync", names...)
	if slices.ContainsFunc(names, IsPeer) {
		r.libp2p, err = s.Libp2p(config.P2P{}, true, nil, s.Log)
	}
	if err == nil && slices.Contains(names, Lines) {
		r.lines, err = jsonl.New(s.Out)
	}
	if onlyWritten := s.Down != s.Up && s.Down == (s.A == Lines); err == nil && r.lines != nil && !onlyWritten {
		err = r.lines.Load(ctx, s.In, func(line int, why error) {
			result.Unreadable++
			if s.Unreadable != nil {
				s.Unreadable(line, why)
			}
		})
	}
	if err != nil {
		return r, errors.Join(err, r.closeAll())
	}
	return r, nil
}

// closeAll frees what a sync has made.
func (r relays) closeAll() (err error) {
	r.close()
	if r.lines != nil {
		err = r.lines.Close()
	}
	if r.libp2p != nil {
		err = errors.Join(err, r.libp2p.Close())
	}
	return err
}

// maxRefusals is how many refusals a SyncResult lists.
const maxRefusals = 1000

// add adds what a part of the sync came to.
func (s *SyncResult) add(r reconcile.Result, names [2]string) {
	s.SyncFigures = s.Plus(r.Figures)
	s.Complete = s.Complete && r.Complete
	s.Why = cmp.Or(s.Why, r.Why)
	s.Left += r.Left
	for i, doubt := range r.Doubts {
		s.doubts[i] = s.doubts[i].Plus(doubt)
	}
	for _, x := range r.Refusals {
		if x.Cause != reconcile.ByRules {
			s.NotOurs++
		}
		if len(s.Refusals) < maxRefusals {
			s.Refusals = append(s.Refusals, SyncRefusal{ID: x.ID.String(), To: names[x.To], Why: x.String(), By: causes[x.Cause]})
		}
	}
}
