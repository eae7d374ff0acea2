package sim_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// saltedList is a bare relaylist.signed of a user for one of their DHT keys and
// a salt, and its target.
func saltedList(t *testing.T, user *schnorr.SecretKey, key byte, salt string, seq int64) (data []byte, target string) {
	t.Helper()
	urls := []string{relayURL(1)}
	text, err := json.Marshal(urls)
	if err != nil {
		t.Fatal(err)
	}
	item := bep44.Item{Salt: []byte(salt), Seq: seq, Value: bep44.EncodeString(text)}
	seed := make([]byte, 32)
	seed[0] = key
	if err := item.Sign(ed25519.NewKeyFromSeed(seed)); err != nil {
		t.Fatal(err)
	}
	p := events.RelayListSigned{
		PubKey: user.PublicKey(), Relays: urls, CreatedAt: time.Now().Unix(), Seq: seq, Value: item.Value,
		DHTKey: hexOf(item.Key[:]), Salt: hexOf(item.Salt), DHTSig: hexOf(item.Sig[:]),
	}
	if p.Signature, err = schnorr.SignRelayList(urls, user); err != nil {
		t.Fatal(err)
	}
	return nostr.Encode(p), stage.TargetHex(item)
}

func TestAnAuthorHasEightRecordsAndOnlyAnEventHasOneGiveWay(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ingest(nil)
		alice := user(w.T, "alice")
		var targets []string
		for i := range 100 { // keys and salts
			data, target := saltedList(w.T, alice, byte(i%10), strconv.Itoa(i/10), 1)
			w.Publish(events.SubjectRelayListSigned, data)
			targets = append(targets, target)
		}
		bobs, other := saltedList(w.T, user(w.T, "bob"), 200, "", 1)
		w.Publish(events.SubjectRelayListSigned, bobs)
		time.Sleep(time.Minute)
		records := func() []string {
			return slices.Sorted(maps.Keys(get[contract.Author](w, contract.BucketAuthors, alice.PublicKey()).Records))
		}
		kept := records()
		if len(kept) != contract.MaxRecords {
			w.Fatalf("%d records are kept of the author", len(kept))
		}
		want := []string{contract.RecordKey(other)}
		for _, target := range kept {
			want = append(want, contract.RecordKey(target))
		}
		slices.Sort(want)
		if got := keys[contract.Record](w, contract.BucketRecords, ">"); !slices.Equal(got, want) {
			w.Errorf("bucket holds %v, want %v", got, want)
		}
		letters := w.DeadLetters()
		for _, l := range letters {
			if !hasPrefix(l.Reason, "dht_key: 8 records are kept for the author") {
				w.Errorf("dead letter: %s", l.Reason)
			}
		}
		if len(letters) != 92 {
			w.Errorf("%d dead letters for 92 records too many", len(letters))
		}

		// The eight go on as before.
		i := slices.Index(targets, kept[7])
		newer, _ := saltedList(w.T, alice, byte(i%10), strconv.Itoa(i/10), 2)
		w.Publish(events.SubjectRelayListSigned, newer)
		time.Sleep(time.Minute)
		if r := get[contract.Record](w, contract.BucketRecords, contract.RecordKey(kept[7])); r.Seq != 2 || len(w.DeadLetters()) != 92 {
			w.Errorf("the eighth has seq %d, %d dead letters", r.Seq, len(w.DeadLetters()))
		}

		// An operator deletes one.
		_, err := store[contract.Record](w, contract.BucketRecords).Remove(context.Background(), contract.RecordKey(kept[0]),
			func(contract.Record) bool { return true })
		if err != nil {
			w.Fatal(err)
		}
		time.Sleep(time.Hour)
		another, target := saltedList(w.T, alice, 99, "", 1)
		w.Publish(events.SubjectRelayListSigned, another)
		time.Sleep(time.Minute)
		get[contract.Record](w, contract.BucketRecords, contract.RecordKey(target))
		want = slices.Concat(kept[1:], []string{target})
		slices.Sort(want)
		if now := records(); !slices.Equal(now, want) {
			w.Errorf("the author has %v, want %v", now, want)
		}
		letters = w.DeadLetters()

		// Anybody who has a list that the author has signed can make such records, so
		// the author's own word, an event, takes the place of one, and keeps it.
		said := list(w.T, alice, 1, relayURL(1))
		w.sendEvent(said.DHT)
		time.Sleep(time.Minute)
		last, _ := saltedList(w.T, alice, 98, "", 1)
		w.Publish(events.SubjectRelayListSigned, last)
		time.Sleep(time.Minute)
		now := records()
		if _, kept := slices.BinarySearch(now, stage.TargetHex(said.Item)); !kept || len(now) != contract.MaxRecords {
			w.Errorf("the author has %v, not %s", now, stage.TargetHex(said.Item))
		}
		if n := len(keys[contract.Record](w, contract.BucketRecords, ">")); n != contract.MaxRecords+1 || len(w.DeadLetters()) != len(letters)+1 {
			w.Errorf("%d records in the bucket, %d dead letters more", n, len(w.DeadLetters())-len(letters))
		}
	})
}
