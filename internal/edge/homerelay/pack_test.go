package homerelay

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// packable are events whose texts could be taken for what is between them.
func packable(t *testing.T) []*nostr.Event {
	t.Helper()
	s := newSigner(t)
	return []*nostr.Event{
		s.event(10002, 0, ""),
		s.event(0, 1, `{"name":"x","tags":[],"sig":"y"}`, nostr.Tag{"d", `,"tags":`}, nostr.Tag{packMark[1:], "\x00\x1f<&>\u2028"}),
		s.event(10050, 1<<40, packMark[1:]+"\\\"}\n\x00\u00e9"+strings.Repeat("\U0001F600", 900), nostr.Tag{"relay", ""}),
		s.event(65535, 1700000000, `,"sig":"`, nostr.Tag{"r", "wss://a.example", "read"}, nostr.Tag{`"]]`}),
	}
}

func TestPackedEventsReadTheSame(t *testing.T) {
	t.Parallel()
	for _, e := range packable(t) {
		r, err := newRecord(e)
		if err != nil {
			t.Fatal(err)
		}
		text := nostr.Encode(e)
		packed := pack(r, text)
		if got, err := unpack(r.id[:], packed); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%.200q, %v, want %.200q", got, err, text)
		}
		if len(packed) > len(text)-210 {
			t.Errorf("%d bytes of %d are left", len(packed), len(text))
		}
		step := 1
		if testing.Short() { // races show in fewer
			step = 50
		}
		for n := 0; n < len(packed); n += step { // what is cut short, or of other bytes, is read without a crash
			_, _ = unpack(r.id[:], packed[:n])
			harmed := slices.Clone(packed)
			harmed[n] ^= byte(1 + rand.IntN(255))
			_, _ = parseRecord(r.id[:], harmed)
			_, _ = parseRecord(r.id[:], harmed[:n])
		}
	}
	odd := *packable(t)[0]
	for _, sig := range []string{"", "00", strings.Repeat("F", 128), strings.Repeat("0", 130)} {
		odd.Sig = sig
		r, err := newRecord(&odd)
		if err != nil {
			t.Fatal(err)
		}
		if text := nostr.Encode(odd); !bytes.Equal(pack(r, text), text) {
			t.Errorf("a signature %q was packed", sig)
		}
	}
}

// An index reads what an earlier version stored as JSON, beside what it packs itself, and counts either as it lies there.
func TestBothFormsLieInOneStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lists.db")
	plain := startConfig(t, Config{Path: path})
	author := newSigner(t)
	old, older := author.event(10002, 1000, "", nostr.Tag{"r", "wss://a.example"}), author.event(0, 1000, `{"name":"a"}`)
	mustInsert(t, plain.store, old, older)
	if err := plain.Close(); err != nil {
		t.Fatal(err)
	}
	r := startConfig(t, Config{Path: path, Kinds: []int{0, 10002}, MaxBytes: 1 << 30})
	fresh := author.event(10002, 2000, "", nostr.Tag{"r", "wss://b.example"})
	other := newSigner(t).event(10002, 1500, "", nostr.Tag{"r", "wss://c.example"})
	for _, e := range []*nostr.Event{fresh, other} {
		if ok, why := r.AcceptFrom("somebody", e); !ok {
			t.Fatal(why)
		}
	}
	r.store.counted(t)
	for e, packed := range map[*nostr.Event]bool{older: false, fresh: true, other: true} {
		id, _ := hex.DecodeString(e.ID)
		_ = r.store.view(func(tx *bbolt.Tx) error {
			if stored := tx.Bucket(byID).Get(id); bytes.HasPrefix(stored, []byte(packMark)) != packed {
				t.Errorf("%.50q: packed should be %t", stored, packed)
			}
			return nil
		})
		if text, err := r.store.Text(e.ID); err != nil || !bytes.Equal(text, nostr.Encode(e)) {
			t.Errorf("%s, %v, want %s", text, err, nostr.Encode(e))
		}
	}
	// A version of the same size takes no more room, though its JSON is longer than what is stored.
	err := r.store.db.Update(func(tx *bbolt.Tx) error {
		again, err := newRecord(author.event(10002, 3000, "", nostr.Tag{"r", "wss://d.example"}))
		if err == nil && r.store.grows(&step{tx: tx, whole: r.store.whole}, again, nostr.Encode(again.event)) {
			t.Error("a list of the same size takes more room")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Packed events are found in a file whose pages are not.
func TestPackedEventsAreSaved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lists.db")
	r := startConfig(t, Config{Path: path, Kinds: []int{0, 10002, 10050, 65535}})
	all := packable(t)
	mustInsert(t, r.store, all...)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(file[:2*os.Getpagesize()])
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := Repair(t.Context(), path)
	if err != nil || found.Saved != len(all) {
		t.Fatalf("%+v, %v: want %d events", found, err, len(all))
	}
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, e := range all {
		if text, err := s.Text(e.ID); err != nil || !bytes.Equal(text, nostr.Encode(e)) {
			t.Errorf("%s, %v, want %s", text, err, nostr.Encode(e))
		}
	}
}
