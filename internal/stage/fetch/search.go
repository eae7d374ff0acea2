package fetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/relaymesh/relaymesh/internal/backoff"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// askTimeout bounds the answer of one relay, searchTimeout a search.
	askTimeout    = 10 * time.Second
	searchTimeout = 30 * time.Second
	// moreTimeout is how long a relay may take over further versions after the
	// first; some never say that there are no more.
	moreTimeout = 2 * hedge
	// maxVersions is how many events a relay is asked for at an address: it may
	// keep old versions, and such as have the address in a second d tag.
	maxVersions = 10
	// maxSearches bounds those that run at a time.
	maxSearches = 1024
)

// search looks for one note in a goroutine of its own. Whoever wants the same
// note meanwhile shares it, and it goes on when they have given up: an answer
// that comes late is written to the local relay all the same.
type search struct {
	stage *Stage
	need  events.NoteMissing
	// onlyHints asks the relays that callers name and looks for no others.
	onlyHints bool

	done     chan struct{} // closed when response and err are set
	response events.MissingNoteResponse
	err      error
	more     chan struct{} // holds an element when others have queued relays

	// Guarded by Stage.mu.
	hedger  hedger
	asked   int
	errs    []error          // of those who could not be asked
	passing map[string]error // by relay: why it is asked again
	// onlyDHT is closed when nothing but the author's list on the DHT is waited for; with relays that are queued later there is another.
	onlyDHT chan struct{}

	// Of the goroutine only.
	replies chan reply
	sources int  // that are still looking for relays
	onDHT   bool // the author's list on the DHT is one of them
	further bool // the further sources have been started
	best    *reply
	ended   bool // done is closed
}

// reply is what a relay or a source says.
type reply struct {
	url    string       // of a relay; "" for a source
	event  *nostr.Event // of a relay, nil if it has none
	relays []string     // of a source
	onDHT  bool         // of the source that is the author's list on the DHT
	err    error
}

// join returns the search for a note, which it starts if there is none, and its onlyDHT.
// A search is told of in the trace of who started it.
func (s *Stage) join(
	ctx context.Context, n events.NoteMissing, first []string, onlyHints bool, not []string,
) (*search, <-chan struct{}, error) {
	s.start()
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.searches[n.Key()]; f != nil {
		if f.hedger.add(first...)+f.hedger.add(n.Relays...) > 0 {
			f.onlyDHT = make(chan struct{})
			select {
			case f.more <- struct{}{}:
			default:
			}
		}
		return f, f.onlyDHT, nil
	}
	if s.searchCtx.Err() != nil {
		return nil, nil, errors.New("fetcher is stopping")
	}
	if s.running >= maxSearches {
		return nil, nil, fmt.Errorf("%d notes are being looked for already", maxSearches)
	}
	f := &search{
		stage: s, need: n, onlyHints: onlyHints,
		done: make(chan struct{}), more: make(chan struct{}, 1), hedger: newHedger(not...),
		replies: make(chan reply, maxRelays+3), // each relay and source says one
		passing: map[string]error{}, onlyDHT: make(chan struct{}),
	}
	f.hedger.add(first...)
	s.searches[n.Key()] = f
	s.running++
	s.work.Go(func() { f.run(ctx) })
	return f, f.onlyDHT, nil
}

// run asks and listens until nothing more is to be expected. It outlives the
// caller's context.
func (f *search) run(caller context.Context) {
	s := f.stage
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), searchTimeout)
	defer cancel()
	defer context.AfterFunc(s.searchCtx, cancel)()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
	}()
	if !f.onlyHints {
		f.look(ctx, f.knownRelays, false)
	}
	for begun := s.Now(); ; {
		now := s.Now()
		s.mu.Lock()
		ask := f.hedger.next(now)
		f.asked += len(ask)
		idle, open, wait := f.hedger.idle(now), len(f.hedger.open), f.hedger.wait(now)
		if f.best == nil && f.onDHT && f.sources == 1 && idle && open == 0 {
			f.tellOnlyDHT()
		}
		s.mu.Unlock()
		for _, url := range ask {
			s.work.Go(func() { f.replies <- f.ask(ctx, url) })
		}
		switch {
		case f.best != nil && !f.ended && (f.need.EventID != "" || (idle && (f.sources == 0 || f.further))):
			f.found(ctx)
			if f.need.EventID != "" {
				return
			}
			continue // a newer version may come yet
		case f.best == nil && !f.further && !f.onlyHints && f.sources == 0 && (idle || now.Sub(begun) >= hedge):
			f.further = true
			f.onDHT = true
			f.look(ctx, f.byDHT, true)
			f.look(ctx, f.byMentions, false)
			continue
		case open == 0 && f.sources == 0 && idle && f.lost(ctx):
			return
		}
		if !f.listen(ctx, wait) {
			f.end(events.MissingNoteResponse{}, f.soFar(context.Cause(ctx)))
			return
		}
	}
}

// listen takes the next reply; false is the end of the time for the search.
func (f *search) listen(ctx context.Context, wait time.Duration) bool {
	var hedged <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		hedged = timer.C
	}
	select {
	case w := <-f.replies:
		f.handle(ctx, w)
	case <-f.more:
	case <-hedged:
	case <-ctx.Done():
		return false
	}
	return true
}

func (f *search) handle(ctx context.Context, w reply) {
	s := f.stage
	s.mu.Lock()
	if w.url == "" {
		f.sources--
		f.onDHT = f.onDHT && !w.onDHT
		f.hedger.add(s.Denied.Relays(w.relays)...)
	}
	f.hedger.answered(w.url)
	if w.err != nil {
		f.errs = append(f.errs, w.err)
	}
	s.mu.Unlock()
	if w.event == nil || s.Denied.Event(w.event) || (f.best != nil && !newer(w.event, f.best.event)) {
		return
	}
	f.best = &w
	if f.ended {
		if why, err := s.land(ctx, w); why != "" || err != nil {
			s.Log.WarnContext(ctx, "a version that came late was not written", "event", w.event.ID, "relay", w.url, "reason", why, "err", err)
		}
	}
}

// betweenAttempts is the wait before a relay that refuses for the moment is asked
// again, within askTimeout.
var betweenAttempts = backoff.Backoff{First: time.Second, Most: 4 * time.Second}

// pause waits, and returns false if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ask asks one relay, again if it refuses for the moment.
func (f *search) ask(ctx context.Context, url string) (w reply) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	w.url = url
	for n := 1; ; n++ {
		if f.need.EventID != "" {
			w.event, w.err = f.stage.Net.Find(ctx, url, f.need.EventID)
		} else {
			w.event, w.err = f.newest(ctx, url)
		}
		if !reconcile.ForTheMoment(w.err) {
			break
		}
		f.stage.mu.Lock()
		f.passing[url] = reconcile.RefusalOf(w.err)
		f.stage.mu.Unlock()
		if !pause(ctx, betweenAttempts.Wait(n, rand.Float64())) {
			break
		}
	}
	if w.err != nil {
		w.err = &relayError{url, w.err}
	}
	return w
}

// relayError says which relay an error is about.
type relayError struct {
	url string
	error
}

func (e *relayError) Error() string { return reconcile.Named(e.url, e.error) }
func (e *relayError) Unwrap() error { return e.error }

// newest asks a relay for the versions of what is at an address. Of a relay that
// does not say that it has no more, the newest that came is its answer.
func (f *search) newest(ctx context.Context, url string) (event *nostr.Event, err error) {
	at, err := nostr.ParseAddress(f.need.Address)
	if err != nil {
		return nil, err
	}
	relay, err := f.stage.Net.At(ctx, url)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var ends *time.Timer
	for e, err := range relay.Query(ctx, at.Filters(maxVersions)...) {
		switch {
		case err != nil && event != nil:
			return event, nil
		case err != nil:
			return nil, err
		case !at.Of(&e) || event != nil && !newer(&e, event):
			continue
		}
		if event = &e; ends == nil {
			ends = time.AfterFunc(moreTimeout, cancel)
			defer ends.Stop()
		}
	}
	return event, nil
}

// look runs a source of relays.
func (f *search) look(ctx context.Context, source func(context.Context) ([]string, error), onDHT bool) {
	f.sources++
	f.stage.work.Go(func() {
		relays, err := source(ctx)
		f.replies <- reply{relays: relays, err: err, onDHT: onDHT}
	})
}

// tellOnlyDHT closes onlyDHT; Stage.mu is held.
func (f *search) tellOnlyDHT() {
	select {
	case <-f.onlyDHT:
	default:
		close(f.onlyDHT)
	}
}
