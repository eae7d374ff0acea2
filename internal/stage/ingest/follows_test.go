package ingest

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// follows is a relay of follow lists: who follows whom, by one letter each.
type follows map[string]string

func pubkeyOf(c string) string { return strings.Repeat("0"+c, 32) }

func (f follows) query(_ context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		for who, whom := range f {
			e := nostr.Event{Kind: 3, PubKey: pubkeyOf(who), Tags: []nostr.Tag{{"p", "nobody"}, {"t", pubkeyOf("f")}, {"p"}}}
			for _, c := range strings.Split(whom, "") {
				e.Tags = append(e.Tags, nostr.Tag{"p", pubkeyOf(c)})
			}
			if filters[0].Match(&e) && !yield(e, nil) {
				return
			}
		}
	}
}

func TestWebOfTrust(t *testing.T) {
	lists := follows{"1": "23", "2": "14", "4": "5", "9": "8"}
	pubkeys := func(letters string) (list []string) {
		for _, c := range strings.Split(letters, "") {
			list = append(list, pubkeyOf(c))
		}
		return list
	}
	for name, tc := range map[string]struct {
		authors, seeds string
		depth          int
		want           string
	}{
		"allowlist":        {"1", "", 1, "1"},
		"follows":          {"", "1", 1, "123"},
		"two steps":        {"", "1", 2, "1234"},
		"to the end":       {"", "1", 5, "12345"},
		"several and list": {"7", "29", 1, "124789"},
	} {
		c := &WebOfTrust{
			Authors: pubkeys(tc.authors), Seeds: pubkeys(tc.seeds), Depth: tc.depth, Query: lists.query,
			Log: slog.New(slog.DiscardHandler),
		}
		if err := c.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range strings.Split("123456789", "") {
			if c.Has(pubkeyOf(l)) {
				got = append(got, l)
			}
		}
		if strings.Join(got, "") != tc.want || len(*c.members.Load()) != len(tc.want) {
			t.Errorf("%s: %v of %d, want %s", name, got, len(*c.members.Load()), tc.want)
		}
	}
}

func TestWebOfTrustKeepsWhatItHasWhenTheRelayFails(t *testing.T) {
	lists := follows{"1": "2"}
	c := &WebOfTrust{Seeds: []string{pubkeyOf("1")}, Depth: 1, Query: lists.query, Log: slog.New(slog.DiscardHandler)}
	if err := c.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Query = func(context.Context, ...nostr.Filter) iter.Seq2[nostr.Event, error] {
		return func(yield func(nostr.Event, error) bool) { yield(nostr.Event{}, errors.New("gone")) }
	}
	if err := c.load(t.Context()); err == nil {
		t.Error("a failing relay was not noticed")
	}
	if !c.Has(pubkeyOf("2")) {
		t.Error("2 was forgotten")
	}
}
