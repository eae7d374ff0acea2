package console

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// every is how often the pipeline is read while somebody watches.
	every = 2 * time.Second
	// fresh is how old a reading may be that is shown once.
	fresh = time.Second
	// kept is how many readings charts show: ten minutes.
	kept = 300
	// maxWatchers bounds the open streams of one console.
	maxWatchers = 2 * maxStreams
	// readWithin bounds one reading.
	readWithin = 5 * time.Second
)

// feed reads the pipeline for everybody who looks: once for all of them, every
// two seconds while somebody watches, and else when a page is asked for.
type feed struct {
	read func(ctx context.Context, before *Pipeline) (*Pipeline, error)

	every time.Duration

	reading sync.Mutex // held by who reads; guards nothing else

	mu       sync.Mutex
	readings []*Pipeline // the newest last
	failed   error       // of the last reading
	watchers map[chan struct{}]bool
	running  bool
}

func newFeed(read func(context.Context, *Pipeline) (*Pipeline, error)) *feed {
	return &feed{read: read, every: every, watchers: map[chan struct{}]bool{}}
}

// now returns a reading that is at most a second old.
func (f *feed) now(ctx context.Context) (*Pipeline, error) {
	f.reading.Lock()
	defer f.reading.Unlock()
	if last := f.last(); last != nil && time.Since(last.At) < fresh {
		return last, nil
	}
	return f.again(ctx)
}

// again reads; the caller holds f.reading.
func (f *feed) again(ctx context.Context) (*Pipeline, error) {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	p, err := f.read(ctx, f.last())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = err
	if err != nil {
		return nil, err
	}
	f.readings = append(f.readings, p)
	if len(f.readings) > kept {
		f.readings = append(f.readings[:0:0], f.readings[len(f.readings)-kept:]...)
	}
	return p, nil
}

func (f *feed) last() *Pipeline {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.readings) == 0 {
		return nil
	}
	return f.readings[len(f.readings)-1]
}

// state returns the newest reading, if there is one, and why there is no newer.
func (f *feed) state() (*Pipeline, error) {
	last := f.last()
	f.mu.Lock()
	defer f.mu.Unlock()
	return last, f.failed
}

// history returns the readings, oldest first; they are not changed any more.
func (f *feed) history() []*Pipeline {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*Pipeline(nil), f.readings...)
}

var errFull = errors.New("too many pages are being watched")

// watch has a channel signalled after every reading, until leave is called.
func (f *feed) watch() (news <-chan struct{}, leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.watchers) >= maxWatchers {
		return nil, nil, errFull
	}
	ch := make(chan struct{}, 1)
	f.watchers[ch] = true
	if !f.running {
		f.running = true
		go f.run()
	}
	return ch, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, ch)
	}, nil
}

// run reads until nobody watches any more.
func (f *feed) run() {
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		f.reading.Lock()
		_, _ = f.again(context.Background()) // watchers are told by state
		f.reading.Unlock()
		f.mu.Lock()
		for ch := range f.watchers {
			select {
			case ch <- struct{}{}:
			default: // has not yet shown the last one
			}
		}
		f.mu.Unlock()
		<-tick.C
		f.mu.Lock()
		if len(f.watchers) == 0 {
			f.running = false
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
	}
}
