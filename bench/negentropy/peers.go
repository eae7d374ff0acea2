package main

import (
	"fmt"
	"slices"
	"sync"

	"github.com/nbd-wtf/go-nostr"
	gonostr "github.com/nbd-wtf/go-nostr/nip77/negentropy"
	"github.com/nbd-wtf/go-nostr/nip77/negentropy/storage/vector"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// side is one party of a session; M is the form in which it takes its messages.
type side[M []byte | string] interface {
	// Start returns an initiator's first message.
	Start() M
	// Next takes an answer; done means that there is nothing left to say.
	Next(answer M) (next M, done bool, err error)
	// Answer answers an initiator.
	Answer(msg M) (M, error)
	// Found returns what an initiator reported, repetitions included.
	Found() (have, need []negentropy.ID)
}

// ours is a session of package negentropy.
type ours struct {
	*negentropy.Reconciler
	have, need []negentropy.ID
}

func newOurs(store negentropy.Store, frameLimit int) *ours {
	return newWith(store, negentropy.Options{FrameLimit: frameLimit})
}

// newReference is ours with the messages of the reference implementation.
func newReference(store negentropy.Store, frameLimit int) *ours {
	return newWith(store, negentropy.Options{FrameLimit: frameLimit, ReferenceOverflow: true})
}

func newWith(store negentropy.Store, options negentropy.Options) *ours {
	s := new(ours)
	options.Have = func(id negentropy.ID) { s.have = append(s.have, id) }
	options.Need = func(id negentropy.ID) { s.need = append(s.need, id) }
	s.Reconciler = negentropy.NewReconciler(store, options)
	return s
}

func (s *ours) Start() []byte                            { return s.Initiate() }
func (s *ours) Next(answer []byte) ([]byte, bool, error) { return s.Reconcile(answer) }
func (s *ours) Answer(msg []byte) ([]byte, error)        { return s.Respond(msg) }
func (s *ours) Found() (have, need []negentropy.ID)      { return s.have, s.need }

// theirs is a session of go-nostr, whose messages are hexadecimal text.
type theirs struct {
	*gonostr.Negentropy
	wg         sync.WaitGroup
	have, need []negentropy.ID
}

func newTheirs(store gonostr.Storage, frameLimit int) *theirs {
	return &theirs{Negentropy: gonostr.New(store, frameLimit)}
}

// newTheirVector seals a set as go-nostr does.
func newTheirVector(items []negentropy.Item) *vector.Vector {
	v := vector.New()
	for _, it := range items {
		v.Insert(nostr.Timestamp(it.Timestamp), it.ID.String())
	}
	v.Seal()
	return v
}

// Start also drains the channels that an initiator reports to; it would block otherwise.
func (s *theirs) Start() string {
	drain := func(from chan string, to *[]negentropy.ID) func() {
		return func() {
			for text := range from {
				id, err := negentropy.ParseID(text)
				if err != nil {
					panic(fmt.Sprintf("go-nostr reports %q: %v", text, err))
				}
				*to = append(*to, id)
			}
		}
	}
	s.wg.Go(drain(s.Haves, &s.have))
	s.wg.Go(drain(s.HaveNots, &s.need))
	return s.Negentropy.Start()
}

func (s *theirs) Next(answer string) (string, bool, error) {
	next, err := s.Reconcile(answer)
	return next, next == "", err
}

func (s *theirs) Answer(msg string) (string, error) { return s.Reconcile(msg) }

// Found waits until the channels are closed, which go-nostr does when it is done.
func (s *theirs) Found() (have, need []negentropy.ID) {
	s.wg.Wait()
	return s.have, s.need
}

// traffic is what a session sent, in bytes before hexadecimal encoding.
type traffic struct{ roundTrips, up, down int }

// drive runs a session between two sides of one kind.
func drive[M []byte | string](initiator, responder side[M]) (traffic, error) {
	var t traffic
	for msg, done := initiator.Start(), false; !done; {
		t.roundTrips++
		t.up += size(msg)
		answer, err := responder.Answer(msg)
		if err != nil {
			return t, fmt.Errorf("responder: %w", err)
		}
		t.down += size(answer)
		if msg, done, err = initiator.Next(answer); err != nil {
			return t, fmt.Errorf("initiator: %w", err)
		}
	}
	return t, nil
}

// size returns the size of a message before hexadecimal encoding.
func size[M []byte | string](msg M) int {
	if _, text := any(msg).(string); text {
		return len(msg) / 2
	}
	return len(msg)
}

// ourVector seals a copy of a set.
func ourVector(items []negentropy.Item) *negentropy.Vector {
	return negentropy.NewVector(slices.Clone(items))
}
