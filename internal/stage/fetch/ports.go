package fetch

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// Relays are the relays of the world and the local one, by URL; what Query
// yields is verified and matches.
type Relays interface {
	Query(ctx context.Context, url string, filter events.Filter) iter.Seq2[events.Event, error]
	// Publish waits for the relay's OK. refused is its reason if it said no;
	// that it has the event already is success.
	Publish(ctx context.Context, url string, e events.Event) (refused string, err error)
}

// Stage is the handler of fetcher and its ports. All fields are set before
// Handle is called, which may then run many times at once.
type Stage struct {
	Authors stage.Store[events.Author]
	Links   stage.Store[events.Link]
	Net     Relays
	// Resolve looks an author's list up on the DHT.
	Resolve func(ctx context.Context, r events.ResolveRequest) (events.ResolveResponse, error)

	// Local is the URL of the relay that lacks the note.
	Local        string
	AllowPrivate bool
	Now          func() time.Time
	Log          *slog.Logger
}
