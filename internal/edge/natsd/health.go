package natsd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/relaymesh/relaymesh/internal/trouble"
)

// lookEvery is how often [Server.Guard] looks.
const lookEvery = 5 * time.Second

// probeBytes are what must fit on a disk that is held to take writes again: more than a
// block of a stream, which would else fail again at once.
const probeBytes = 16 << 20

// Health says why the server does not store what it should, nil if it does. It is what
// the server knows: a connection stands also where no stream takes anything. Besides, its folders are
// where they were when it was started.
func (s *Server) Health() error {
	if err := s.places.look(s.nats); err != nil {
		return err
	}
	h := s.nats.Healthz(nil)
	if h.Error == "" {
		return nil
	}
	return errors.New(h.Error)
}

// Guard looks after the server until ctx ends. A stream that could not be written once,
// as on a disk that was full for seconds, takes nothing more until the server is started
// again. So Guard returns an error as soon as that helps: when the disk takes writes. Until
// then it tells of it in the log. A folder that is away costs all that is stored from then
// on, so Guard returns at once.
func (s *Server) Guard(ctx context.Context) error {
	ill := trouble.Trouble{
		Log: s.log, Begins: "NATS does not store everything, what is published to it waits", Ends: "NATS stores everything again",
	}
	look := time.NewTicker(s.lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
		err, again := s.Health(), ill.Lasts() // a stream that is being deleted looks ill, too
		ill.Note(ctx, err)
		if errors.Is(err, errGone) {
			return fmt.Errorf("what NATS stores no start finds: bring its folder back before it is started again, or it begins anew: %w", err)
		}
		if err != nil && again && s.probe() == nil {
			return fmt.Errorf("NATS takes nothing until it is started again, and the disk takes writes: %w", err)
		}
	}
}

// probe writes to the disk of the streams.
func (s *Server) probe() error {
	f, err := os.CreateTemp(s.dir, ".probe-*")
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.Repeat([]byte{1}, probeBytes))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}
