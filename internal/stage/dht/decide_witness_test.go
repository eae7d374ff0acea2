package dht

import (
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/events"
)

func TestWhatAnotherWorkerFindsCounts(t *testing.T) {
	for _, c := range []struct {
		holders int
		w       Witness
		want    int
		warned  bool
	}{
		{16, Witness{}, 16, false},
		{16, Witness{From: "192.0.2.1", Holders: 5, Seq: 3}, 16, false},
		{16, Witness{From: "192.0.2.1", Holders: 3, Seq: 3}, 3, true},
		{8, Witness{From: "192.0.2.1"}, 0, true},
		{8, Witness{From: "192.0.2.1", Holders: 8, Seq: 2}, 0, true}, // an older one
		{2, Witness{From: "192.0.2.1", Holders: 1, Seq: 4}, 2, false},
	} {
		p := decideWitnessed(events.RecordPublished{Holders: c.holders, Seq: 3, Warning: "before"}, c.w)
		if p.Holders != c.want || strings.Contains(p.Warning, "before; of") != c.warned || p.From != c.w.From {
			t.Errorf("%+v: %+v", c, p)
		}
	}
}
