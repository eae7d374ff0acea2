//go:build !race

// go-nostr v0.52.3 closes a connection while its own goroutine sets it to nil.

package interop

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func init() { inProcess["go-nostr"] = converse }

// converse is what go-nostr does.
func converse(t *testing.T, url string, holds []nostr.Event, plain bool) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := gonostr.RelayConnect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, e := range holds {
		var theirs gonostr.Event
		if err := json.Unmarshal(nostr.Encode(e), &theirs); err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(ctx, theirs); err != nil {
			t.Error(err)
		}
	}
	for _, f := range []gonostr.Filter{
		{Kinds: []int{1}, Limit: 5}, {IDs: hometest.IDsOf(holds...)}, {Kinds: []int{0}, Authors: []string{holds[0].PubKey}},
	} {
		if _, err := c.QuerySync(ctx, f); err != nil {
			t.Error(err)
		}
	}
	if plain {
		return
	}
	if n, _, err := c.Count(ctx, gonostr.Filters{{Kinds: []int{1}}}); err != nil || int(n) < len(holds) {
		t.Errorf("counted %d, %v", n, err)
	}
	direct := gonostr.Filter{Kinds: []int{gonostr.KindEncryptedDirectMessage}}
	if _, err := c.QuerySync(ctx, direct); err != nil { // refused, with a challenge
		t.Error(err)
	}
	err = c.Auth(ctx, func(e *gonostr.Event) error {
		e.Tags.Find("relay")[1] = known
		return e.Sign(strings.Repeat("07", 32))
	})
	if err != nil {
		t.Errorf("AUTH: %v", err)
	}
	if _, err := c.QuerySync(ctx, direct); err != nil {
		t.Error(err)
	}
}
