package natstest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// World is a server with everything provisioned, on which a test puts what it
// needs. Its methods fail the test if the server does not do as asked.
type World struct {
	*testing.T

	Dir    string // of the server
	Server *natsd.Server
	JS     jetstream.JetStream // a connection that may do everything
}

// InWorld runs a test in a world in fake time.
func InWorld(t *testing.T, test func(w *World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(NewWorld(t)) })
}

// NewWorld returns a world; its server knows more users, if there are any.
func NewWorld(t *testing.T, more ...*server.User) *World {
	t.Helper()
	w := &World{T: t, Dir: Dir(t)}
	w.Server = StartOn(t, w.Dir, more...)
	w.JS = Provision(t, w.Server)
	return w
}

// Restart stops the server and starts it on the same directory after a while.
func (w *World) Restart(after time.Duration) {
	w.Helper()
	w.JS.Conn().Close()
	w.Server.Close()
	time.Sleep(after)
	w.Server = StartOn(w.T, w.Dir)
	w.JS = Connect(w.T, w.Server)
}

// Publish publishes a message as a relay would, without a Nats-Msg-Id.
func (w *World) Publish(subject string, data []byte) {
	w.Helper()
	if _, err := w.JS.Publish(context.Background(), subject, data); err != nil {
		w.Fatalf("publish %s: %v", subject, err)
	}
}

// State returns what a stream says of itself.
func (w *World) State(stream string) jetstream.StreamState {
	w.Helper()
	s, err := w.JS.Stream(context.Background(), stream)
	if err != nil {
		w.Fatal(err)
	}
	return s.CachedInfo().State
}

// Stored counts the messages in a stream.
func (w *World) Stored(stream string) int {
	w.Helper()
	return int(w.State(stream).Msgs) //nolint:gosec // few
}

// DeadLetters returns the dead letters, oldest first.
func (w *World) DeadLetters() []contract.DeadLetter {
	w.Helper()
	return Messages[contract.DeadLetter](w, contract.StreamDLQ, "")
}

// Messages reads the messages in a stream, oldest first; those on one subject,
// unless it is empty.
func Messages[T any](w *World, stream, subject string) (list []T) {
	w.Helper()
	s, err := w.JS.Stream(context.Background(), stream)
	if err != nil {
		w.Fatal(err)
	}
	state := s.CachedInfo().State
	for seq := state.FirstSeq; state.Msgs > 0 && seq <= state.LastSeq; seq++ {
		msg, err := s.GetMsg(context.Background(), seq)
		if err != nil {
			w.Fatal(err)
		}
		if subject != "" && msg.Subject != subject {
			continue
		}
		v, err := nostr.Decode[T](msg.Data)
		if err != nil {
			w.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}
