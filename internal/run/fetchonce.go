package run

import (
	"context"
	"log/slog"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/stage/fetch"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// FetchOnce looks for a note with nothing else running: at the relays that the
// request names, and if it has a DHT key, at those of the list there. What is
// found is written nowhere.
func FetchOnce(ctx context.Context, c config.Config, r events.MissingNoteRequest, log *slog.Logger) (events.MissingNoteResponse, error) {
	options := relay.Options{AllowPrivate: c.AllowPrivate, Log: log}
	if c.NsecFile != "" {
		key, err := schnorr.ReadSecretFile(c.NsecFile)
		if err != nil {
			return events.MissingNoteResponse{}, err
		}
		options.Auth = key.SignEvent
	}
	c.Relay = "" // there is no local one
	denied, err := OpenDeny(c.Deny, log)
	if err != nil {
		return events.MissingNoteResponse{}, err
	}
	options.Denied = denied.Lists()
	pools := newRelays(c, options)
	defer pools.close()
	s := &fetch.Stage{
		Authors: forgetful[contract.Author]{}, Links: forgetful[contract.Link]{}, Lost: forgetful[contract.Lost]{}, Net: pools,
		Denied: denied.Lists(),
		Resolve: func(ctx context.Context, r events.ResolveRequest) (events.ResolveResponse, error) {
			return ResolveOnce(ctx, c, r, log, nil)
		},
		AllowPrivate: c.AllowPrivate, ThreadDepth: c.Fetch.ThreadDepth, ThreadCount: c.Fetch.ThreadCount,
		Now: time.Now, Log: log,
	}
	defer s.Close()
	return s.Answer(ctx, r)
}

// forgetful is the port of a stage for a bucket that is not there.
type forgetful[T any] struct{}

func (forgetful[T]) Get(context.Context, string) (value T, found bool, err error) {
	return value, false, nil
}

func (forgetful[T]) Update(_ context.Context, _ string, change func(T, bool) (T, bool)) (T, error) {
	var none T
	value, _ := change(none, false)
	return value, nil
}

func (forgetful[T]) Remove(context.Context, string, func(T) bool) (bool, error) { return false, nil }

func (forgetful[T]) Each(context.Context, string, func(string, T) error) error { return nil }
