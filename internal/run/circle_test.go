package run

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// follows is a relay of follow lists: who follows whom, by one letter each.
type follows map[string]string

func pubkeyOf(c string) string {
	sk, err := schnorr.ParseSecret(strings.Repeat("0", 62) + "0" + c)
	if err != nil {
		panic(err)
	}
	return sk.PublicKey()
}

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

func TestCircle(t *testing.T) {
	lists := follows{"1": "23", "2": "14", "4": "5", "9": "8"}
	for name, tc := range map[string]struct {
		policy config.Policy
		want   string
	}{
		"allowlist":        {config.Policy{Authors: []string{pubkeyOf("1")}}, "1"},
		"follows":          {config.Policy{Follows: []string{pubkeyOf("1")}, FollowDepth: 1}, "123"},
		"two steps":        {config.Policy{Follows: []string{pubkeyOf("1")}, FollowDepth: 2}, "1234"},
		"to the end":       {config.Policy{Follows: []string{pubkeyOf("1")}, FollowDepth: 5}, "12345"},
		"several and list": {config.Policy{Authors: []string{pubkeyOf("7")}, Follows: []string{pubkeyOf("2"), pubkeyOf("9")}, FollowDepth: 1}, "124789"},
	} {
		c, err := newWebOfTrust(tc.policy, lists.query, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range strings.Split("123456789", "") {
			if c.has(pubkeyOf(l)) {
				got = append(got, l)
			}
		}
		if strings.Join(got, "") != tc.want || len(*c.members.Load()) != len(tc.want) {
			t.Errorf("%s: %v of %d, want %s", name, got, len(*c.members.Load()), tc.want)
		}
	}
}

func TestCircleKeepsWhatItHasWhenTheRelayFails(t *testing.T) {
	lists := follows{"1": "2"}
	c, err := newWebOfTrust(config.Policy{Follows: []string{pubkeyOf("1")}, FollowDepth: 1}, lists.query, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.query = func(context.Context, ...nostr.Filter) iter.Seq2[nostr.Event, error] {
		return func(yield func(nostr.Event, error) bool) { yield(nostr.Event{}, errors.New("gone")) }
	}
	if err := c.load(t.Context()); err == nil {
		t.Error("a failing relay was not noticed")
	}
	if !c.has(pubkeyOf("2")) {
		t.Error("2 was forgotten")
	}
}

func TestCircleOfEveryoneOrNobody(t *testing.T) {
	if c, err := newWebOfTrust(config.Policy{}, nil, nil); c != nil || err != nil {
		t.Errorf("%v, %v", c, err)
	}
	for _, flag := range []string{"--authors", "--follows"} {
		p := config.Policy{Authors: []string{"npub1"}}
		if flag == "--follows" {
			p = config.Policy{Follows: []string{"npub1"}}
		}
		if _, err := newWebOfTrust(p, nil, nil); err == nil || !slices.Contains(strings.Split(err.Error(), ":"), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
