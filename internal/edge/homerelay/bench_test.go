package homerelay

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// BenchmarkInsert stores events durably, 64 writers at a time.
func BenchmarkInsert(b *testing.B) {
	s, err := openStore(filepath.Join(b.TempDir(), "relay.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	// The store does not check signatures, so ids and keys may be made up.
	all := make([]*nostr.Event, b.N)
	for i := range all {
		e := *recorded()[i%len(recorded())]
		e.Kind, e.Tags, e.CreatedAt = 1, e.Tags[:min(4, len(e.Tags))], int64(1_700_000_000+i)
		e.Content = fmt.Sprintf("%.600s", e.Content)
		e.ID = e.Hash()
		all[i] = &e
	}
	next := make(chan *nostr.Event, 1024)
	go func() {
		for _, e := range all {
			next <- e
		}
		close(next)
	}()
	b.ResetTimer()
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := s.Insert(<-next); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkQuery reads events, BenchmarkItems their times and ids.
func BenchmarkQuery(b *testing.B) {
	s := recordedStore(b)
	n := 0
	for b.Loop() {
		if err := s.Query(b.Context(), everything, nostr.Filter{Kinds: []int{1, 7}}, func([]byte) bool { n++; return true }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
}

func BenchmarkItems(b *testing.B) {
	s := recordedStore(b)
	n := 0
	for b.Loop() {
		items, err := s.Items(b.Context(), everything, []nostr.Filter{{Kinds: []int{1, 7}}}, maxRecords, nil)
		if err != nil {
			b.Fatal(err)
		}
		n += len(items)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
}

func recordedStore(b *testing.B) *store {
	b.Helper()
	s, err := openStore(filepath.Join(b.TempDir(), "relay.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	for _, e := range recorded() {
		_ = s.Insert(e) // some are replaced by others
	}
	return s
}
