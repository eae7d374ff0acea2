package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
	"github.com/relaymesh/relaymesh/pkg/outbox"
)

const (
	authors = 60
	// attempt is how long a relay may take for an OK before it is sent again.
	attempt = 4 * time.Second
	pause   = 300 * time.Millisecond
)

// load signs events and sends each until it is accepted, which is when
// relaymesh must not lose it any more.
type load struct {
	fleet   *fleet
	ledger  *ledger
	outbox  *outbox.Outbox // of a relay that publishes to NATS itself
	authors []*author
	// strangers write where nobody follows them.
	strangers []*author
	running   sync.WaitGroup
}

// author is somebody whose list names one far relay, and who writes there.
type author struct {
	key *schnorr.SecretKey
	far string

	mu   sync.Mutex // held while a list is on its way: clients send one after the other
	last int64      // seq of the last list
}

func newLoad(f *fleet, l *ledger) (*load, error) {
	w := &load{fleet: f, ledger: l}
	w.outbox = outbox.New(func(ctx context.Context, m outbox.Message) error {
		_, err := f.js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
		return err
	}, outbox.Options{Sender: "chaos"})
	for i := range authors {
		a, err := w.newAuthor(i)
		if err != nil {
			return nil, err
		}
		s, err := w.newAuthor(i)
		if err != nil {
			return nil, err
		}
		w.authors, w.strangers = append(w.authors, a), append(w.strangers, s)
	}
	return w, nil
}

func (w *load) newAuthor(i int) (*author, error) {
	key, err := schnorr.NewSecret()
	return &author{key: key, far: w.fleet.farURLs[i%len(w.fleet.farURLs)]}, err
}

// introduce publishes each author's NIP-65 list, so that they are synced.
func (w *load) introduce(ctx context.Context) error {
	for _, a := range w.authors {
		list, err := run.SignList(a.key, []string{a.far}, time.Now().Unix())
		if err != nil {
			return err
		}
		if err := w.send(ctx, w.fleet.homeURL, list.NIP65); err != nil {
			return err
		}
	}
	return nil
}

// run keeps up a rate of events a second until ctx ends. What is on its way
// then still arrives: see [load.wait].
func (w *load) run(ctx context.Context, rate float64) {
	const perTick = 9 // events that are signed at each tick
	tick := time.NewTicker(time.Duration(perTick / rate * float64(time.Second)))
	defer tick.Stop()
	sending := context.WithoutCancel(ctx)
	for i := 0; ; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		a, other := w.authors[i%len(w.authors)], w.strangers[rand.IntN(len(w.strangers))] //nolint:gosec // any will do
		w.goes(func() error { _, err := w.signList(sending, a); return err })
		w.goes(func() error { _, err := w.reply(sending, a, other, w.atHome); return err })
		w.goes(func() error { _, err := w.reply(sending, a, other, w.byNATS); return err })
		for range 3 {
			w.goes(func() error { return w.note(sending, a) })
		}
		if i%10 == 0 {
			w.goes(func() error { return w.forgery(sending) })
		}
	}
}

// goes runs f beside all others. Signing cannot fail, and sending only ends
// with success or the run.
func (w *load) goes(f func() error) {
	w.running.Go(func() { _ = f() })
}

// wait returns when all that was signed is accepted, or ctx ends.
func (w *load) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { w.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		return errors.New("some events are still not accepted by a relay")
	}
	if lost := w.outbox.Close(ctx); lost > 0 {
		return fmt.Errorf("%d events could not be published to NATS", lost)
	}
	return nil
}

// signList lets an author sign another list at the home relay; the channel is
// closed when it is on the DHT. It is nil if there is none: an author has one
// list on its way at a time, and signs one a second at most.
func (w *load) signList(ctx context.Context, a *author) (onDHT <-chan struct{}, err error) {
	if !a.mu.TryLock() {
		return nil, nil
	}
	defer a.mu.Unlock()
	now := time.Now().Unix()
	if now <= a.last {
		return nil, nil
	}
	a.last = now
	list, err := run.SignList(a.key, []string{a.far}, now)
	if err != nil {
		return nil, err
	}
	if err := w.send(ctx, w.fleet.homeURL, list.DHT); err != nil {
		return nil, err
	}
	return w.ledger.list(list.DHT.PubKey, list.DHT.ID, list.Item), nil
}

// note is a note that an author writes at his far relay, which a sync brings
// home.
func (w *load) note(ctx context.Context, a *author) error {
	e := nostr.Event{CreatedAt: time.Now().Unix(), Kind: 1, Content: unique("a note of mine"), Tags: []nostr.Tag{}}
	if err := a.key.SignEvent(&e); err != nil {
		return err
	}
	if err := w.send(ctx, a.far, e); err != nil {
		return err
	}
	w.ledger.promise(e.ID, "note of an author")
	return nil
}

// reply is a note of a stranger at a far relay, and an answer to it by a user
// of the home relay, for which it must be fetched; the channel is closed when it
// is at the home relay.
func (w *load) reply(ctx context.Context, user, stranger *author,
	publish func(context.Context, nostr.Event) error,
) (home <-chan struct{}, err error) {
	now := time.Now().Unix()
	note := nostr.Event{CreatedAt: now, Kind: 1, Content: unique("a note"), Tags: []nostr.Tag{}}
	if err := stranger.key.SignEvent(&note); err != nil {
		return nil, err
	}
	answer := nostr.Event{CreatedAt: now, Kind: 1, Content: "a reply", Tags: []nostr.Tag{{"e", note.ID, stranger.far, "root", note.PubKey}}}
	if err := user.key.SignEvent(&answer); err != nil {
		return nil, err
	}
	if err := w.send(ctx, stranger.far, note); err != nil {
		return nil, err
	}
	if err := publish(ctx, answer); err != nil {
		return nil, err
	}
	return w.ledger.promise(note.ID, "note that was referred to"), nil
}

// atHome publishes an event at the home relay, which must not lose it.
func (w *load) atHome(ctx context.Context, e nostr.Event) error {
	if err := w.send(ctx, w.fleet.homeURL, e); err != nil {
		return err
	}
	w.ledger.promise(e.ID, "event at the home relay")
	return nil
}

// byNATS publishes an event as relays do that have relaymesh's hook.
func (w *load) byNATS(ctx context.Context, e nostr.Event) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := w.outbox.PutWait(ctx, text); err != nil {
		return err
	}
	w.ledger.sent(0)
	return nil
}

// unique makes two notes two.
func unique(text string) string { return fmt.Sprintf("%s %x", text, rand.Uint64()) } //nolint:gosec // not a secret

// forgery is an event whose signature is another's: a dead letter.
func (w *load) forgery(ctx context.Context) error {
	key, err := schnorr.NewSecret()
	if err != nil {
		return err
	}
	e := nostr.Event{CreatedAt: time.Now().Unix(), Kind: 1, Content: unique("forged"), Tags: []nostr.Tag{}}
	if err := key.SignEvent(&e); err != nil {
		return err
	}
	e.Sig = strings.Repeat("0", 64) + e.Sig[64:]
	w.ledger.expectDeadLetter(e.ID)
	return w.byNATS(ctx, e)
}

// send publishes an event until it is accepted.
func (w *load) send(ctx context.Context, url string, e nostr.Event) error {
	for retries := 0; ; retries++ {
		one, cancel := context.WithTimeout(ctx, attempt)
		reply, err := w.fleet.pool.At(url).Publish(one, e)
		cancel()
		switch {
		case err == nil && reply.Kept():
			w.ledger.sent(retries)
			return nil
		case err == nil && !reply.Reason.Passes():
			w.ledger.refuse(url, reply.Reason.String())
			return fmt.Errorf("refused: %s", reply.Reason)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
