package main

import (
	"context"
	"fmt"

	gonostr "github.com/nbd-wtf/go-nostr"
	"github.com/nbd-wtf/go-nostr/nip77"
)

// local is a set in the process, as go-nostr's sync wants it.
type local struct{ *memory }

func (l local) Publish(ctx context.Context, e gonostr.Event) error { return l.save(ctx, &e) }

func (l local) QueryEvents(ctx context.Context, f gonostr.Filter) (chan *gonostr.Event, error) {
	return l.query(ctx, f)
}

func (l local) QuerySync(_ context.Context, f gonostr.Filter) ([]*gonostr.Event, error) {
	return l.matching(f), nil
}

// syncGoNostr is the process of the other contestant. It prints a line before
// the sync, as making the set does not count.
func syncGoNostr(url string, common, own int) error {
	list, err := set("a", common, own)
	if err != nil {
		return err
	}
	store := local{newMemory(list)}
	fmt.Println("ready")
	if err := nip77.NegentropySync(context.Background(), store, url, gonostr.Filter{}, nip77.Both); err != nil {
		return err
	}
	if n := len(store.sorted); n != common+2*own {
		return fmt.Errorf("go-nostr ends with %d events, want %d", n, common+2*own)
	}
	return nil
}
