package dht

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
)

func record(t *testing.T, seq int64, value string) (bep44.Item, events.Record) {
	t.Helper()
	item := bep44.Item{Seq: seq, Value: []byte(value)}
	if err := item.Sign(ed25519.NewKeyFromSeed(make([]byte, 32))); err != nil {
		t.Fatal(err)
	}
	r := events.Record{PubKey: "author", Event: "event"}
	stage.SetItem(&r, item)
	return item, r
}

func TestPlacedRecordWaitsOneInterval(t *testing.T) {
	_, r := record(t, 1, "1:a")
	r.Failures = 2
	next, write := decidePlaced(r, r, Placement{Holders: 8, Nodes: []byte("nodes")}, 1000, time.Hour)
	if !write || next.NextDue != 1000+3600 || next.VerifiedAt != 1000 || next.Failures != 0 || string(next.Nodes) != "nodes" {
		t.Errorf("write %t, %+v", write, next)
	}
}

func TestWeakRecordComesBackSoonButNotForEver(t *testing.T) {
	_, r := record(t, 1, "1:a")
	for pass := 1; pass <= maxSoon+1; pass++ {
		r, _ = decidePlaced(r, r, Placement{Holders: 1}, 0, time.Hour)
		want := int64(soon / time.Second)
		if pass > maxSoon {
			want = 3600
		}
		if r.NextDue != want || r.Failures != pass {
			t.Errorf("pass %d: due at %d, want %d; failures %d", pass, r.NextDue, want, r.Failures)
		}
	}
}

func TestAPutThatWasOvertakenChangesNothing(t *testing.T) {
	_, put := record(t, 1, "1:a")
	_, stored := record(t, 2, "1:b")
	if next, write := decidePlaced(stored, put, Placement{Holders: 1}, 1000, time.Hour); write || next.VerifiedAt != 0 {
		t.Errorf("write %t, %+v", write, next)
	}
}

func TestAHigherSeqOnTheNetworkBecomesTheRecord(t *testing.T) {
	_, r := record(t, 1, "1:a")
	newer, _ := record(t, 5, "1:b")
	next, write := decidePlaced(r, r, Placement{Newer: &newer}, 1000, time.Hour)
	if !write || next.Seq != 5 || string(next.Value) != "1:b" || !next.Superseded || next.PubKey != "author" || next.NextDue != 1000 {
		t.Errorf("write %t, %+v", write, next)
	}
}

func TestDueHasSlackForAPassThatComesEarly(t *testing.T) {
	for at, want := range map[int64]bool{500: true, 1000: true, 1360: true, 1361: false, 4000: false} {
		if got := due(events.Record{NextDue: at}, 1000, time.Hour); got != want {
			t.Errorf("due at %d: %t", at, got)
		}
	}
}
