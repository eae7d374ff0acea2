package relay

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Only true says that an event was taken, a refusal needs no words, and hex is hex in any case.
func TestPublishAnswers(t *testing.T) {
	e := notes(t, 1)[0]
	taken, no := reconcile.Reply{Outcome: reconcile.Stored}, func(code reconcile.Code, text string) reconcile.Reply {
		return reconcile.Refuse(reconcile.Reason{Code: code, Text: text})
	}
	for answer, want := range map[string]reconcile.Reply{
		`["OK",ID,true,""]`:                           taken,
		`["OK",ID,true]`:                              taken,
		`["OK",ID,true,"duplicate: have it"]`:         {Outcome: reconcile.Duplicate},
		`["OK",ID,false,"duplicate: have it"]`:        {Outcome: reconcile.Duplicate},
		`["OK",ID,false,""]`:                          no("", ""),
		`["OK",ID,false]`:                             no("", ""),
		`["OK",ID,false,null]`:                        no("", ""),
		`["OK",ID]`:                                   no("", ""),
		`["OK",ID,"true",""]`:                         taken,
		`["OK",UPPER,true,""]`:                        taken,
		`["OK",UPPER,false,"blocked: no"]`:            no(reconcile.PrefixBlocked, "blocked: no"),
		`["OK",ID,"false",""]`:                        no("", ""),
		`["OK",ID,"","true"]`:                         no("", "true"),
		`["OK",ID,1,"stored"]`:                        no("", "stored"),
		`["OK",ID,false,"Blocked: kind"]`:             no(reconcile.PrefixBlocked, "Blocked: kind"),
		`["OK",ID,false,"replaced: have newer"]`:      no(reconcile.PrefixReplaced, "replaced: have newer"),
		`["OK",ID,false,"no prefix here: something"]`: no("", "no prefix here: something"),
		`["OK",ID,false,"protected: members only"]`:   no("", "protected: members only"),
		`["OK",ID,false,"rate-limited"]`:              no(reconcile.PrefixRateLimited, "rate-limited"),
	} {
		f := startFake(t, func(p *peer) {
			p.expect("EVENT")
			p.send(raw(strings.NewReplacer("ID", `"`+e.ID+`"`, "UPPER", `"`+strings.ToUpper(e.ID)+`"`).Replace(answer)))
			p.drain()
		})
		if got, err := dial(t, f.url).Publish(testContext(t), e); got != want || err != nil {
			t.Errorf("%s: %+v, %v", answer, got, err)
		}
	}
}

// nostr-rs-relay and others answer an EVENT that is too large by a NOTICE alone.
func TestANoticeInPlaceOfAnOK(t *testing.T) {
	all := notes(t, 3)
	synctest.Test(t, func(t *testing.T) {
		c := fakeInFakeTime(t, func(p *peer) {
			p.send("NOTICE", "welcome")
			p.expect("EVENT")
			p.send("NOTICE", "event exceeded max size")
			p.expect("EVENT")
			p.send("OK", all[1].ID, true, "")
			p.drain()
		})
		synctest.Wait() // the welcome was read
		want := reconcile.Refuse(reconcile.Reason{Text: "event exceeded max size"})
		if got, err := c.Publish(t.Context(), all[0]); got != want || err != nil {
			t.Errorf("got %+v, %v", got, err)
		}
		if got, err := c.Publish(t.Context(), all[1]); !got.Kept() || err != nil {
			t.Errorf("the next: %+v, %v", got, err)
		}
		if got, err := c.Publish(t.Context(), all[2]); !errors.Is(err, reconcile.ErrTimeout) {
			t.Errorf("no word since: %+v, %v", got, err)
		}
	})
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
			if err := reconcile.Write(testContext(t), c, e); (err == nil) != (e.CreatedAt%2 == 0) {
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
	if err := reconcile.Write(testContext(t), dial(t, f.url), e); err != nil {
		t.Error(err)
	}
}
