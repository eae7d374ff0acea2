package run

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/jsonl"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

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
	Peer          DialPeer           // reaches multiaddrs; may be nil if there are none
	In            io.Reader
	Out           io.Writer
	Log           *slog.Logger
	Progress      func(SyncFigures) // see reconcile.Options
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
}

// SyncRefusal is an event that one side lacks still, and why.
type SyncRefusal struct {
	ID  string `json:"id"`
	To  string `json:"to"` // URL of the side that lacks it
	Why string `json:"why"`
}

// infoTimeout bounds how long a relay's NIP-11 document is waited for. It is a
// hint, so without it the sync starts all the same.
const infoTimeout = 3 * time.Second

// Run syncs until it is done or ctx ends. The result is right after an error,
// too, as far as it goes.
func (s Sync) Run(ctx context.Context) (result SyncResult, err error) {
	dialling := relay.Options{AllowPrivate: true, Log: s.Log}
	if s.Key != nil {
		dialling.Auth = s.Key.SignEvent
	}
	pool := relay.NewPool(dialling)
	defer pool.Close()
	var direction reconcile.Direction
	if s.Down {
		direction |= reconcile.Down
	}
	if s.Up {
		direction |= reconcile.Up
	}
	names := [2]string{s.A, s.B}
	var sides [2]reconcile.Side
	var asking sync.WaitGroup
	for i, name := range names {
		if IsPeer(name) {
			peer, shut, err := s.Peer(name, s.Log)
			if err != nil {
				return result, err
			}
			defer shut()
			sides[i] = peer
			continue
		}
		if name != Lines {
			asking.Go(func() { sides[i] = remote(ctx, pool, name) })
			continue
		}
		lines, err := jsonl.New(s.Out)
		if err != nil {
			return result, err
		}
		defer func() { err = errors.Join(err, lines.Close()) }()
		sides[i] = reconcile.Side{Relay: lines, Name: "standard input"}
		if only := [2]bool{s.Down, s.Up}[i] && !(s.Down && s.Up); only {
			continue // it is only written to
		}
		if result.Unreadable, err = lines.Load(ctx, s.In); err != nil {
			return result, err
		}
	}
	asking.Wait()
	options := reconcile.Options{Direction: direction, UploadPrivate: s.UploadPrivate}
	result.Complete = true
	for _, filter := range reconcile.Divide(s.Filter) {
		done := result.SyncFigures
		if s.Progress != nil {
			options.Progress = func(f SyncFigures) { s.Progress(done.Plus(f)) }
		}
		r, err := reconcile.Sync(ctx, sides[0], sides[1], filter, options)
		result.add(r, names)
		if err != nil {
			return result, err
		}
	}
	return result, nil
}

// maxRefusals is how many refusals a SyncResult lists.
const maxRefusals = 1000

// add adds what a part of the sync came to.
func (s *SyncResult) add(r reconcile.Result, names [2]string) {
	s.SyncFigures = s.Plus(r.Figures)
	s.Complete = s.Complete && r.Complete
	s.Why = cmp.Or(s.Why, r.Why)
	s.Left += r.Left
	for _, x := range r.Refusals {
		if x.Cause != reconcile.ByRules {
			s.NotOurs++
		}
		if len(s.Refusals) < maxRefusals {
			s.Refusals = append(s.Refusals, SyncRefusal{ID: x.ID.String(), To: names[x.To], Why: x.Reason.String()})
		}
	}
}

// remote makes a side of a relay.
func remote(ctx context.Context, pool *relay.Pool, url string) reconcile.Side {
	size, _ := accepts(ctx, pool, url)
	return reconcile.Side{Relay: side{pool, url}, Name: url, Accepts: size}
}

// accepts asks a relay for the largest negentropy message that it takes, and
// returns 0 if it does not say.
func accepts(ctx context.Context, pool *relay.Pool, url string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	info, err := pool.FetchInfo(ctx, url)
	if err != nil || info.Limitation.MaxMessageLength == 0 {
		return 0, err
	}
	return max(info.NegentropyFrame(), negentropy.MinFrameLimit), nil
}
