package run

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
)

// lookEvery is how often the config file is looked at. Reading a small file is
// cheap, and works where files are replaced by links, as on Kubernetes.
const lookEvery = 5 * time.Second

// rules say what is synced with which relay: the streams of the config file,
// which are read again when it changes, and what the flags say.
type rules struct {
	config  config.Config
	log     *slog.Logger
	data    []byte // of the file, when last read; of the watching goroutine
	streams atomic.Pointer[[]config.Stream]
}

func newRules(c config.Config, log *slog.Logger) (*rules, error) {
	streams, data, err := config.ReadStreams(c.File, c.AllowPrivate)
	if err != nil {
		return nil, err
	}
	r := &rules{config: c, log: log, data: data}
	r.streams.Store(&streams)
	return r, nil
}

// of returns the rules for a relay: those of the streams that name it, else
// those that name none, else what the flags say.
func (r *rules) of(url string) (list []syncing.Rule) {
	var others []config.Stream
	for _, s := range *r.streams.Load() {
		switch {
		case slices.Contains(s.URLs, url):
			list = append(list, rule(s, time.Now()))
		case len(s.URLs) == 0:
			others = append(others, s)
		}
	}
	if len(list) > 0 {
		return list
	}
	if len(others) == 0 {
		others = append(others, r.config.Sync.Stream())
	}
	for _, s := range others {
		next := rule(s, time.Now())
		next.Mentions = r.config.Sync.Mentions && next.Direction&reconcile.Down != 0
		list = append(list, next)
	}
	return list
}

// rule translates a stream. What is asked since so long ago is asked since the
// beginning of that day: two syncs of one day then ask the same.
func rule(s config.Stream, now time.Time) syncing.Rule {
	r := syncing.Rule{Filter: s.Filter, Writers: s.Writers, Named: len(s.URLs) > 0}
	if s.Down {
		r.Direction |= reconcile.Down
	}
	if s.Up {
		r.Direction |= reconcile.Up
	}
	r.Filter.Since, r.Filter.Until = day(s.Since, now), day(s.Until, now)
	return r
}

// day reads a time that the configuration has checked; none is 0.
func day(text string, now time.Time) int64 {
	at, err := config.ParseWhen(text, now)
	if err != nil {
		return 0
	}
	if _, err := time.ParseDuration(text); err == nil {
		at -= at % (24 * 3600)
	}
	return at
}

// named are the relays that streams name, and a cause that changes with the file.
func (r *rules) named() (urls []string, cause string) {
	for _, s := range *r.streams.Load() {
		urls = append(urls, s.URLs...)
	}
	slices.Sort(urls)
	sum := sha256.Sum256(r.data)
	return slices.Compact(urls), "config:" + hex.EncodeToString(sum[:8])
}

// watch reads the file again when it changes, and tells of that, until ctx
// ends. A file that is wrong changes nothing and is complained about once. What
// is found twice in a row counts: editors write in pieces.
func (r *rules) watch(ctx context.Context, changed func(ctx context.Context) error) error {
	if r.config.File == "" {
		return nil
	}
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	var complaint string
	seen := &r.data
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		streams, data, err := config.ReadStreams(r.config.File, r.config.AllowPrivate)
		if err != nil {
			if complaint != err.Error() {
				r.log.ErrorContext(ctx, "the config file is wrong, the streams stay as they were", "err", err)
			}
			complaint, seen = err.Error(), nil
			continue
		}
		again := seen != nil && bytes.Equal(data, *seen)
		if seen = &data; !again {
			continue
		}
		complaint = ""
		if bytes.Equal(data, r.data) {
			continue
		}
		r.data = data
		r.streams.Store(&streams)
		r.log.InfoContext(ctx, "read the streams of the config file again; other keys need a restart", "streams", len(streams))
		if err := changed(ctx); err != nil {
			return err
		}
	}
}
