package run

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/stage/syncing"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// relays fits the pool to the ports of syncing and fetch.
type relays struct{ pool *relay.Pool }

func (r relays) Query(ctx context.Context, url string, filter events.Filter) iter.Seq2[events.Event, error] {
	return r.pool.Query(ctx, url, filter)
}

func (r relays) Publish(ctx context.Context, url string, e events.Event) (refused string, err error) {
	err = r.pool.Publish(ctx, url, e)
	if no := (*relay.RefusedError)(nil); errors.As(err, &no) {
		return no.Error(), nil
	}
	return "", err
}

func (r relays) Negentropy(ctx context.Context, url string, filter events.Filter, first []byte) (syncing.Session, []byte, error) {
	conn, err := r.pool.Conn(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	session, answer, err := conn.OpenNegentropy(ctx, filter, first)
	if errors.Is(err, relay.ErrNoNegentropy) {
		return nil, nil, errors.Join(syncing.ErrNoNegentropy, err)
	}
	if err != nil {
		return nil, nil, err
	}
	return session, answer, nil
}

// probe fetches a relay's NIP-11 document.
func (r relays) probe(ctx context.Context, url string) (events.Relay, error) {
	info, err := r.pool.Info(ctx, url)
	if err != nil {
		return events.Relay{}, err
	}
	return events.Relay{URL: url, Name: info.Name, Software: info.Software, NIPs: slices.Clone(info.SupportedNIPs)}, nil
}
