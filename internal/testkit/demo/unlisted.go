package demo

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// unlistedNotes is how many notes of the author without a list lie where no list leads.
const unlistedNotes = 30

// settles has an author who has no relay list write one note at home, beside those
// that are at a relay which no list names.
func (w *world) settles(ctx context.Context) error {
	here := nostr.Event{CreatedAt: time.Now().Unix(), Kind: 1, Content: "I have moved here", Tags: []nostr.Tag{}}
	if err := w.frank.SignEvent(&here); err != nil {
		return err
	}
	return w.must(ctx, w.home, here)
}

// fillBeyond writes the author's earlier notes.
func (w *world) fillBeyond(ctx context.Context) (err error) {
	if w.frank, err = schnorr.NewSecret(); err != nil {
		return err
	}
	for i := range unlistedNotes {
		e := nostr.Event{CreatedAt: time.Now().Unix() - int64(i+1)*86400, Kind: 1, Content: fmt.Sprint("an old note ", i), Tags: []nostr.Tag{}}
		if err := w.frank.SignEvent(&e); err != nil {
			return err
		}
		if err := w.must(ctx, w.beyond.URL(), e); err != nil {
			return err
		}
	}
	return nil
}

// unlisted: an author without a list is found at a relay that only the operator's seeds
// name, by a survey; all of the author's notes come home, and the list service tells
// where the author was seen.
func unlisted(ctx context.Context, w *world, figures map[string]any) error {
	start := exec.CommandContext(ctx, w.program, "survey", "--start", "--nats", w.pipe.nats()) //nolint:gosec // the program that is shown
	if out, err := start.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	pubkey := w.frank.PublicKey()
	err := w.until(ctx, func() error {
		have, err := w.ids(ctx, w.home, nostr.Filter{Authors: []string{pubkey}})
		figures["notes"] = len(have)
		if err == nil && len(have) != unlistedNotes+1 {
			err = fmt.Errorf("%d of the author's %d notes are at home", len(have), unlistedNotes+1)
		}
		return err
	})
	if err != nil {
		return err
	}
	return w.until(ctx, func() error {
		answer, err := w.nc.RequestWithContext(ctx, events.ServiceListResolve, nostr.Encode(events.ResolveRequest{PubKey: pubkey}))
		if err != nil {
			return err
		}
		is, err := nostr.Decode[events.ResolveResponse](answer.Data)
		if figures["seen_at"] = is.Seen; err == nil && (is.Found || !slices.Equal(is.Seen, []string{w.beyond.URL()})) {
			err = errors.New("the list service does not tell where the author was seen")
		}
		return err
	})
}
