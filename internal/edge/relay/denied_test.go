package relay

import (
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// From when it is denied nobody makes a connection to a host, whatever it is for,
// until it is denied no more.
func TestADeniedHostIsNotDialled(t *testing.T) {
	url := startHome(t)
	var denied deny.Lists
	options := Options{AllowPrivate: true, Denied: &denied}
	denied.Set(deny.NewList(deny.Entry{What: deny.Host, Value: "127.0.0.1"}))
	pool := NewPool(options)
	t.Cleanup(pool.Close)
	ctx := testContext(t)
	ask := map[string]func() error{
		"a connection": func() error {
			c, err := Dial(ctx, url, options)
			if err == nil {
				c.Close()
			}
			return err
		},
		"a document": func() error { _, err := FetchInfo(ctx, url, options); return err },
		"a request": func() error {
			for _, err := range pool.At(url).Query(ctx, nostr.Filter{Limit: 1}) {
				return err
			}
			return nil
		},
		"a search": func() error { _, err := pool.Find(ctx, url, strings.Repeat("01", 32)); return err },
	}
	for what, do := range ask {
		if err := do(); err == nil || !strings.Contains(err.Error(), "is on a deny list") {
			t.Errorf("%s: %v", what, err)
		}
	}
	denied.Set(nil)
	if err := ask["a connection"](); err != nil {
		t.Errorf("denied no more: %v", err)
	}
}
