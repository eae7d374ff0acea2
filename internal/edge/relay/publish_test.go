package relay

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestPublishAnswers(t *testing.T) {
	e := notes(t, 1)[0]
	for reason, want := range map[string]*RefusedError{
		"":                          {Message: ""},
		"duplicate: have it":        nil,
		"blocked: kind":             {Prefix: "blocked", Message: "blocked: kind"},
		"replaced: have newer":      {Prefix: "replaced", Message: "replaced: have newer"},
		"no prefix here: something": {Message: "no prefix here: something"},
	} {
		f := startFake(t, func(p *peer) {
			p.expect("EVENT")
			p.send("OK", e.ID, false, reason)
			p.drain()
		})
		err := dial(t, f.url).Publish(testContext(t), e)
		var refused *RefusedError
		if want == nil {
			if err != nil {
				t.Errorf("%q: %v", reason, err)
			}
			continue
		}
		if !errors.As(err, &refused) || refused.Prefix != want.Prefix || refused.Message != want.Message {
			t.Errorf("%q: got %v", reason, err)
		}
	}
}

// Answers find their callers whatever their order, also when two publish the
// same event.
func TestPublishPipelined(t *testing.T) {
	all := notes(t, 40)
	all = append(all, all[0], all[1])
	f := startFake(t, func(p *peer) {
		var got []nostr.Event
		for range all {
			msg := p.expect("EVENT")
			if msg == nil {
				return
			}
			var e nostr.Event
			if err := json.Unmarshal(msg[0], &e); err != nil {
				p.t.Error(err)
			}
			got = append(got, e)
		}
		for i := len(got) - 1; i >= 0; i-- {
			p.send("OK", got[i].ID, got[i].CreatedAt%2 == 0, "blocked: odd")
		}
		p.drain()
	})
	c := dial(t, f.url)
	var wg sync.WaitGroup
	for _, e := range all {
		wg.Go(func() {
			if err := c.Publish(testContext(t), e); (err == nil) != (e.CreatedAt%2 == 0) {
				t.Errorf("event at %d: %v", e.CreatedAt, err)
			}
		})
	}
	wg.Wait()
}

func TestPublishNullTags(t *testing.T) {
	e := notes(t, 1)[0]
	e.Tags = nil
	f := startFake(t, func(p *peer) {
		var sent map[string]json.RawMessage
		if msg := p.expect("EVENT"); json.Unmarshal(msg[0], &sent) != nil || string(sent["tags"]) != "[]" {
			p.t.Errorf("tags went out as %s", sent["tags"])
		}
		p.send("OK", e.ID, true, "")
		p.drain()
	})
	if err := dial(t, f.url).Publish(testContext(t), e); err != nil {
		t.Error(err)
	}
}
