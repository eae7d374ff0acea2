//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/console"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The goals.
const (
	pageTime = 50 // ms
	pageKiB  = 60
	ofACore  = 1 // %
)

type bench struct {
	users, relays, links int
	window               time.Duration

	js  jetstream.JetStream
	pid int // of the NATS server

	missed bool
}

func (b *bench) measure(ctx context.Context) error {
	begun := time.Now()
	if err := b.fill(ctx); err != nil {
		return err
	}
	fmt.Printf("%d users, %d records, %d relays, %d links written in %s\n\n", b.users, b.users, b.relays, b.links,
		time.Since(begun).Round(time.Second))
	pages := console.New(b.js, console.Options{})
	before, begun := b.cpu(), time.Now()
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- pages.Run(ctx) }()
	defer func() {
		stop()
		<-ended //nolint:errcheck // it ends with ctx alone
	}()
	if err := b.counted(ctx, pages); err != nil {
		return err
	}
	fmt.Printf("counted once in %s, CPU of NATS %s\n", time.Since(begun).Round(10*time.Millisecond), b.cpu()-before)
	for _, path := range []string{
		"/", "/mesh", "/users", "/users?held=8-12&sort=holders", "/relays", "/relays?sort=-stored", "/records?state=kept", "/history?span=month",
	} {
		took, size := times(pages, path)
		fmt.Printf("%-30s %8s  %5.1f KiB\n", path, took.Round(100*time.Microsecond), float64(size)/1024)
		if path == "/" {
			b.goal("first page, server time in ms", took.Seconds()*1000, pageTime)
			b.goal("first page, KiB", float64(size)/1024, pageKiB)
		}
	}
	return b.browser(ctx, pages)
}

// goal prints what was measured, at most bound is wanted.
func (b *bench) goal(what string, measured, bound float64) {
	state := "ok"
	if measured > bound {
		state, b.missed = "short", true
	}
	fmt.Printf("goal %s: %.2f (want <= %g) %s\n", what, measured, bound, state)
}

// fill writes what stages would have written.
func (b *bench) fill(ctx context.Context) error {
	now := time.Now().Unix()
	put := func(bucket, key string, value any) error {
		_, err := b.js.PublishAsync("$KV."+bucket+"."+key, nostr.Encode(value), jetstream.WithStallWait(time.Minute))
		return err
	}
	var errs []error
	for i := range b.users {
		author, target := fmt.Sprintf("%064x", i), fmt.Sprintf("%08x%032x", i*2654435761%(1<<32), i)
		errs = append(errs, put(contract.BucketAuthors, author, contract.Author{
			FirstSeen: now, LastSeen: now, Records: map[string]int64{target: now},
			Lists: map[string]contract.List{contract.ViaDHT: {Write: []string{relayURL(i % b.relays)}}},
		}), put(contract.BucketRecords, contract.RecordKey(target), contract.Record{
			PubKey: author, Nodes: make([]byte, 12*26), Held: i % 13, VerifiedAt: now, NextDue: now + 3600, Value: make([]byte, 200),
		}))
	}
	for i := range b.relays {
		key := nostr.RelayKey(relayURL(i))
		errs = append(errs, put(contract.BucketRelays, key, contract.Relay{URL: relayURL(i), ProbedAt: now, Answered: now, ProbeFailures: i % 3}),
			put(contract.BucketSyncs, key, contract.Sync{
				URL: relayURL(i), LastOK: now, LastTry: now, Stored: i, Live: now - int64(i),
				Last: events.SyncFinished{URL: relayURL(i), OK: true},
			}))
	}
	for i := range b.links {
		url := relayURL(i % b.relays)
		errs = append(errs, put(contract.BucketLinks, contract.LinkKey(nostr.RelayKey(url), fmt.Sprintf("%064x", i/b.relays)),
			contract.Link{URL: url, Via: map[string]int64{contract.ViaDHT: now}}))
	}
	select {
	case <-b.js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	return errors.Join(errs...)
}

func relayURL(i int) string { return fmt.Sprintf("wss://relay-%05d.example.com", i) }

// ask makes a page, without a network.
func ask(pages *console.Console, path, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "http://localhost"+path, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	pages.ServeHTTP(w, r)
	return w
}

// counted waits until all has been counted once.
func (b *bench) counted(ctx context.Context, pages *console.Console) error {
	for {
		var v struct{ Summary console.Summary }
		if err := json.Unmarshal(ask(pages, "/", "application/json").Body.Bytes(), &v); err != nil {
			return err
		}
		if v.Summary.Whole {
			if v.Summary.Users.All != b.users || v.Summary.Proved.Live == 0 {
				return fmt.Errorf("counted %+v", v.Summary)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// times is how long a page takes in the median, and its size in bytes. The first page reads
// NATS again when a reading is a second old, so every other look does.
func times(pages *console.Console, path string) (median time.Duration, size int) {
	var all []time.Duration
	for i := range 10 {
		if i%2 == 0 {
			time.Sleep(1100 * time.Millisecond)
		}
		begun := time.Now()
		size = ask(pages, path, "text/html").Body.Len()
		all = append(all, time.Since(begun))
	}
	slices.Sort(all)
	return all[len(all)/2], size
}

// browser measures what one browser costs the NATS server that has the first page open: windows
// with it and without take turns.
func (b *bench) browser(ctx context.Context, pages *console.Console) error {
	server := httptest.NewServer(pages)
	defer server.Close()
	var alone, with time.Duration
	updates := 0
	const turns = 3
	for range turns {
		alone += b.during(b.window / turns)
		watching, leave := context.WithCancel(ctx)
		seen := make(chan int)
		go func() { seen <- watch(watching, server.URL+"/events") }()
		with += b.during(b.window / turns)
		leave()
		updates += <-seen
	}
	if least := int(b.window/time.Second) / 4; updates < least {
		return fmt.Errorf("the browser has seen %d updates in %s, fewer than %d", updates, b.window, least)
	}
	share := (with - alone).Seconds() / b.window.Seconds()
	fmt.Printf("\nCPU of NATS in %s: %s without a browser, %s with one that saw %d updates, %.2f %% of a core for it\n",
		b.window, alone, with, updates, 100*share)
	b.goal("CPU of NATS for one browser, % of a core", 100*share, ofACore)
	if b.missed {
		return errors.New("a goal is missed")
	}
	return nil
}

// watch reads the live page until ctx ends, and counts its updates.
func watch(ctx context.Context, url string) (updates int) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if lines.Text() == "" {
			updates++
		}
	}
	return updates
}

// during is the CPU that the NATS server takes in a while.
func (b *bench) during(window time.Duration) time.Duration {
	before := b.cpu()
	time.Sleep(window)
	return b.cpu() - before
}

// cpu is the CPU that the NATS server has taken.
func (b *bench) cpu() time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime, of a hundredth of a second
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
