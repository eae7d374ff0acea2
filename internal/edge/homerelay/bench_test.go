package homerelay

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	gonostr "github.com/nbd-wtf/go-nostr"

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

// BenchmarkPublish sends signed events to a relay over one connection and waits for
// their OKs, one after the other and up to 200 in flight, with signatures verified one
// by one and in batches. CPU time is of the relay and the client together.
func BenchmarkPublish(b *testing.B) {
	for _, flight := range []int{1, 200} {
		for _, batch := range []int{1, maxBatch} {
			b.Run(fmt.Sprintf("flight=%d/batch=%d", flight, batch), func(b *testing.B) { benchPublish(b, flight, batch) })
		}
	}
}

func benchPublish(b *testing.B, flight, batch int) {
	r, err := Start(b.Context(), Config{Path: filepath.Join(b.TempDir(), "relay.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	r.working.batch = batch
	key, texts := gonostr.GeneratePrivateKey(), make([]string, b.N)
	for i := range texts {
		e := gonostr.Event{Kind: 1, CreatedAt: gonostr.Timestamp(1_700_000_000 + i), Content: strings.Repeat("a note ", 50), Tags: gonostr.Tags{}}
		if err := e.Sign(key); err != nil {
			b.Fatal(err)
		}
		texts[i] = string(nostr.Message("EVENT", ours(&e)))
	}
	c, slots := dialRaw(b, r.URL()), make(chan struct{}, flight)
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ResetTimer()
	go func() {
		for _, text := range texts {
			slots <- struct{}{}
			c.send(text)
		}
	}()
	for range texts {
		if m := c.next(); m[0] != "OK" || m[2] != true {
			b.Fatal(m)
		}
		<-slots
	}
	b.StopTimer()
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/1e3/float64(b.N), "CPU-µs/event")
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
		items, err := s.Items(b.Context(), everything, []nostr.Filter{{Kinds: []int{1, 7}}}, maxRecords, 0, nil)
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
