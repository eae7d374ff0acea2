package homerelay

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// harmless is the file of a store with signed events of which some were deleted
// and replaced, and the ids that it serves.
func harmless(t *testing.T) (file []byte, kept []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay.db")
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	author := newSigner(t)
	var all []*nostr.Event
	for i := range 400 {
		all = append(all, author.event(1, int64(1000+i), strings.Repeat("x", 37*i%900), nostr.Tag{"t", strconv.Itoa(i % 7)}))
	}
	insertAll(t, s, all)
	for _, e := range all[:20] {
		mustInsert(t, s, author.event(5, 3000, "", nostr.Tag{"e", e.ID}))
	}
	for i := range 5 {
		mustInsert(t, s, author.event(10002, int64(1000+i), strings.Repeat("y", 20_000)))
	}
	kept = idsOf(t, s, nostr.Filter{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if file, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return file, kept
}

// damages is how many damages a test tries: few, or RELAYMESH_DAMAGES.
func damages(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("RELAYMESH_DAMAGES")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// use does with a store what clients do; errors are fine, crashes are not.
func use(t *testing.T, s *store) error {
	err := s.Query(t.Context(), everything, nostr.Filter{}, func([]byte) bool { return true })
	filters := []nostr.Filter{{Kinds: []int{1}}, {Tags: map[string][]string{"t": {"1", "2"}}}}
	_, itemsErr := s.Items(t.Context(), everything, filters, maxRecords, 0, nil)
	author := newSigner(t)
	insertErr := s.Insert(author.event(1, 5000, "new", nostr.Tag{"t", "1"}))
	return errors.Join(err, itemsErr, insertErr, s.Insert(author.event(10002, 5001, strings.Repeat("z", 9000))))
}

// A byte that changes anywhere in the file never ends the process: the file is
// named, and what can be read is saved.
func TestDamagedStore(t *testing.T) {
	file, kept := harmless(t)
	r := rand.New(rand.NewPCG(3, 4))
	refused, most := 0, damages(t, 16)
	for i := range most {
		path := filepath.Join(t.TempDir(), "relay.db")
		at := r.IntN(len(file))
		if i%2 == 0 { // among what tells where things lie
			at = at/os.Getpagesize()*os.Getpagesize() + r.IntN(64)
		}
		harmed := append([]byte{}, file...)
		harmed[at] ^= byte(1 + r.IntN(255))
		if err := os.WriteFile(path, harmed, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openStore(path)
		if err == nil {
			_ = use(t, s)
			if err := s.Close(); err != nil {
				t.Errorf("byte %d: close: %v", at, err)
			}
			continue
		}
		refused++
		var damaged *DamagedError
		if !errors.As(err, &damaged) || !strings.Contains(err.Error(), path) {
			t.Fatalf("byte %d: %v", at, err)
		}
		if refused%8 == 1 { // it takes a while
			repairIn(t, path, kept, 1)
		}
	}
	if refused < most/6 {
		t.Errorf("only %d of %d damages were seen", refused, most)
	}
}

// repairIn repairs a store, which may lose as many of the events in it.
func repairIn(t *testing.T, path string, kept []string, lost int) {
	t.Helper()
	found, err := Repair(t.Context(), path)
	if err != nil || found.Damage == nil || found.Saved < len(kept)-lost {
		t.Fatalf("%+v, %v: want %d events", found, err, len(kept))
	}
	if _, err := os.Stat(found.Aside); err != nil {
		t.Error(err)
	}
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stood := map[string]bool{}
	for _, id := range kept {
		stood[id] = true
	}
	for _, id := range idsOf(t, s, nostr.Filter{}) {
		if !stood[id] {
			t.Errorf("%s has come back", id)
		}
	}
	if err := use(t, s); err != nil {
		t.Error(err)
	}
}

// The same where pages change while the relay has the file open.
func TestStoreIsDamagedWhileOpen(t *testing.T) {
	file, _ := harmless(t)
	r := rand.New(rand.NewPCG(5, 6))
	failed, most := 0, damages(t, 6)
	for i := range most {
		path := filepath.Join(t.TempDir(), "relay.db")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openStore(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		page := int64(os.Getpagesize())
		for id := int64(2); id < int64(len(file))/page; id++ {
			if r.IntN(3) == 0 || i == 0 {
				_, _ = f.WriteAt([]byte{byte(r.Uint32()), byte(r.Uint32())}, id*page+int64(8+r.IntN(40)))
			}
		}
		if i == 1 { // and one that is cut short
			if err := f.Truncate(int64(len(file)) / 2); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
		if use(t, s) != nil {
			failed++
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if failed < most/2 {
		t.Errorf("only %d of %d damages were noticed", failed, most)
	}
}

// A store that is well is left alone, and one that is in use, too.
func TestRepairLeavesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	if _, err := Repair(t.Context(), path); err == nil {
		t.Error("there is no file")
	}
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Repair(t.Context(), path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a store in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if found, err := Repair(t.Context(), path); err != nil || found.Damage != nil || found.Aside != "" {
		t.Errorf("%+v, %v", found, err)
	}
}

// Without any page that tells where things lie, the events are still there.
func TestRepairWithoutMetaPages(t *testing.T) {
	file, kept := harmless(t)
	path := filepath.Join(t.TempDir(), "relay.db")
	harmed := append([]byte{}, file...)
	clear(harmed[:2*os.Getpagesize()])
	if err := os.WriteFile(path, harmed, 0o600); err != nil {
		t.Fatal(err)
	}
	var damaged *DamagedError
	if _, err := openStore(path); !errors.As(err, &damaged) {
		t.Fatalf("opened: %v", err)
	}
	repairIn(t, path, kept, 0)
}
