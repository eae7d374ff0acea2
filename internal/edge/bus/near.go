package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/trouble"
)

const (
	// nearLimit is how full, of 1, a queue is when that is told of.
	nearLimit = 0.8
	// fillEvery is how often the queues of a stage are looked at.
	fillEvery = 5 * time.Minute
)

// tellOfFull tells of the queues that a stage reads and that are nearly full, until ctx
// ends.
func (b *Bus) tellOfFull(ctx context.Context) {
	near := map[string]*trouble.Trouble{}
	look := time.NewTicker(fillEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		for _, s := range streams {
			fill, err := b.fill(ctx, s)
			if err != nil {
				continue // it says nothing about the queue
			}
			if near[s.Name] == nil {
				near[s.Name] = &trouble.Trouble{Log: b.log, Begins: "a queue is nearly full", Ends: "a queue has room again"}
			}
			var told error
			if fill >= nearLimit {
				told = fmt.Errorf("%.0f %% of its bound; who publishes there waits when it is full", 100*fill)
			}
			near[s.Name].Note(ctx, told, "stream", s.Name)
		}
	}
}

// fill is how much of its bound, of 1, a queue takes that the stage reads; 0 of others.
func (b *Bus) fill(ctx context.Context, s contract.Stream) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, lagWithin)
	defer cancel()
	c, reads := (&lag{bus: b}).consumer(s.Name)
	switch {
	case !reads:
		return 0, nil
	case s.MaxWaiting > 0:
		consumer, err := b.js.Consumer(ctx, c.Stream, c.Name)
		if err != nil {
			return 0, err
		}
		info := consumer.CachedInfo()
		return float64(info.NumPending) / float64(s.Sized(StoreOf(info.Config.Metadata)).MaxWaiting), nil
	}
	stream, err := b.js.Stream(ctx, s.Name)
	if err != nil {
		return 0, err
	}
	info := stream.CachedInfo()
	return float64(info.State.Bytes) / float64(s.Sized(StoreOf(info.Config.Metadata)).MaxBytes), nil
}
