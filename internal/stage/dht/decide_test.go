package dht

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

func record(t *testing.T, seq int64, value string) (bep44.Item, contract.Record) {
	t.Helper()
	item := bep44.Item{Seq: seq, Value: []byte(value)}
	if err := item.Sign(ed25519.NewKeyFromSeed(make([]byte, 32))); err != nil {
		t.Fatal(err)
	}
	r := contract.Record{PubKey: "author", Event: "event"}
	stage.SetItem(&r, item)
	return item, r
}

func TestPlacedRecordWaitsOneInterval(t *testing.T) {
	_, r := record(t, 1, "1:a")
	r.Failures = 2
	next, write := decidePlaced(r, r, placement{Holders: 8, Nodes: []byte("nodes")}, Renew, 1000, time.Hour)
	if !write || next.NextDue != 1000+3600 || next.VerifiedAt != 1000 || next.Failures != 0 || string(next.Nodes) != "nodes" {
		t.Errorf("write %t, %+v", write, next)
	}
}

func TestWeakRecordComesBackSoonButNotForEver(t *testing.T) {
	_, r := record(t, 1, "1:a")
	for pass := 1; pass <= maxSoon+1; pass++ {
		r, _ = decidePlaced(r, r, placement{Holders: 1}, Renew, 0, time.Hour)
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
	if next, write := decidePlaced(stored, put, placement{Holders: 1}, Renew, 1000, time.Hour); write || next.VerifiedAt != 0 {
		t.Errorf("write %t, %+v", write, next)
	}
}

func TestAHigherSeqOnTheNetworkBecomesTheRecord(t *testing.T) {
	_, r := record(t, 1, "1:a")
	newer, _ := record(t, 5, "1:b")
	r.VerifiedAt, r.Held = 900, 8
	next, write := decidePlaced(r, r, placement{Newer: &newer}, Renew, 1000, time.Hour)
	if !write || next.Seq != 5 || string(next.Value) != "1:b" || !next.Superseded || next.PubKey != "author" || next.NextDue != 1000 ||
		next.VerifiedAt != 0 || next.Held != 0 {
		t.Errorf("write %t, %+v", write, next)
	}
}

func TestDueHasSlackForAPassThatComesEarlyAndKnowsTheLongestInterval(t *testing.T) {
	const now = 1000
	for every, cases := range map[time.Duration]map[int64]bool{
		time.Hour:      {500: true, now: true, now + 360: true, now + 361: false, now + 3600: false, now + 3601: true},
		6 * time.Hour:  {now: true, now + 360: true, now + 361: false, now + 12*3600: false, now + 12*3600 + 1: true},
		24 * time.Hour: {now + 24*3600: false, now + 24*3600 + 1: true},
	} {
		for at, want := range cases {
			if got := due(contract.Record{NextDue: at}, now, every); got != want {
				t.Errorf("due at %d, every %s: %t", at, every, got)
			}
		}
	}
}

func TestHowARecordIsPutFollowsFromWhatItsNodesProved(t *testing.T) {
	nodes := []byte("nodes")
	for _, tc := range []struct {
		r     contract.Record
		every time.Duration
		want  How
	}{
		{contract.Record{}, 6 * time.Hour, Fresh},
		{contract.Record{Nodes: nodes, Trust: trusted, Failures: maxSoon}, 6 * time.Hour, Fresh},
		{contract.Record{Nodes: nodes}, 6 * time.Hour, Half},
		{contract.Record{Nodes: nodes, Trust: trusted - 1}, 6 * time.Hour, Half},
		{contract.Record{Nodes: nodes, Trust: trusted}, 6 * time.Hour, Look},
		{contract.Record{Nodes: nodes, Trust: banished}, 6 * time.Hour, Renew},
		{contract.Record{Nodes: nodes, Trust: -1}, 6 * time.Hour, Renew},
		{contract.Record{Nodes: nodes, Trust: trusted}, time.Hour, Renew}, // strict
		{contract.Record{Nodes: nodes}, 2 * time.Hour, Renew},
		{contract.Record{Nodes: nodes}, 3 * time.Hour, Half},
	} {
		if got := decideHow(tc.r, tc.every); got != tc.want {
			t.Errorf("%+v every %s: %d, want %d", tc.r, tc.every, got, tc.want)
		}
	}
}

func TestTrustIsEarnedByKeepingAndLostByForgetting(t *testing.T) {
	for _, tc := range []struct {
		trust, kept, forgot, want int
	}{
		{0, 0, 0, 1},
		{1, 3, 1, 2},
		{2, 3, 1, 3},
		{3, 5, 0, 3},
		{2, 0, 0, 2},
		{3, 0, 0, 3},
		{3, 2, 2, 3}, // no evidence
		{0, 1, 2, banished},
		{3, 2, 3, banished},
		{banished, 0, 4, banished + 1},
		{-1, 0, 0, 0},
	} {
		if got := decideTrust(tc.trust, placement{Kept: tc.kept, Forgot: tc.forgot}); got != tc.want {
			t.Errorf("trust %d, %d kept, %d forgot: %d, want %d", tc.trust, tc.kept, tc.forgot, got, tc.want)
		}
	}
}

func TestTheIntervalGrowsWithTrust(t *testing.T) {
	for _, tc := range []struct {
		trust, kept int
		every, want time.Duration
	}{
		{0, 8, time.Hour, time.Hour},
		{trusted, 8, 15 * time.Minute, 15 * time.Minute},
		{0, 8, 6 * time.Hour, time.Hour},
		{banished, 0, 6 * time.Hour, time.Hour},
		{trusted, 7, 6 * time.Hour, 6 * time.Hour},
		{trusted, 8, 6 * time.Hour, 12 * time.Hour},
		{trusted, 8, 8 * time.Hour, 12 * time.Hour},
		{trusted, 8, 24 * time.Hour, 24 * time.Hour},
	} {
		if got := decideEvery(tc.trust, placement{Kept: tc.kept}, tc.every); got != tc.want {
			t.Errorf("trust %d, %d kept, every %s: %s, want %s", tc.trust, tc.kept, tc.every, got, tc.want)
		}
	}
}
