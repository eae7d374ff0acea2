package syncing

import (
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

func TestTheMostParticularStreamHolds(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	preset := Stream{Rule: Rule{Direction: reconcile.Down, Writers: true, Mentions: true}}
	named := Stream{
		URLs: []string{"wss://a.example"}, Rule: Rule{Direction: reconcile.Both, Mentions: true},
		Since: Bound{Ago: 24 * time.Hour}, Until: Bound{At: 7},
	}
	rest := Stream{Rule: Rule{Direction: reconcile.Up, Mentions: true}}

	list := RulesFor("wss://a.example", []Stream{rest, named}, preset, now)
	if len(list) != 1 || !list[0].Named || list[0].Mentions || list[0].Direction != reconcile.Both {
		t.Errorf("by name: %+v", list)
	}
	if f := list[0].Filter; f.Since != time.Date(2026, 1, 30, 0, 0, 0, 0, time.UTC).Unix() || f.Until != 7 {
		t.Errorf("since %d until %d", f.Since, f.Until)
	}
	if list := RulesFor("wss://b.example", []Stream{rest, named}, preset, now); len(list) != 1 || list[0].Named || list[0].Mentions ||
		list[0].Direction != reconcile.Up {
		t.Errorf("of the others, to which we only give: %+v", list)
	}
	if list := RulesFor("wss://b.example", []Stream{named}, preset, now); len(list) != 1 || list[0].Named || !list[0].Mentions ||
		!list[0].Writers {
		t.Errorf("preset: %+v", list)
	}
	if urls := NamedBy([]Stream{named, rest, named}); len(urls) != 1 || urls[0] != "wss://a.example" {
		t.Errorf("named are %v", urls)
	}
}
