//go:build linux

// Command index measures one list index: a real store, its process by itself, and clients over loopback. It prints a line for
// each goal and exits with 1 if one is missed.
//
//	go run ./bench/index              # 200,000 events, some minutes
//	go run ./bench/index -events 2000000
//	go run ./bench/index -indexes 100 # many that fill each other instead, with 100 authors each; ten minutes
//
// 60 % of the events are kind 10002, 15 % kind 10050 and 25 % kind 0, of 700 bytes of JSON in the mean. Disk is told beside that JSON,
// memory is what the process holds without pages of its file, REQs are counted per second of the process's CPU, and the sync
// is a session between two indexes that hold the same, once a minute with a new connection.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

var kinds = []int{0, 10002, 10050}

func main() {
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/index:", err)
		os.Exit(1)
	}
}

func bench() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		r, err := open(ctx, os.Args[2])
		if err != nil {
			return err
		}
		fmt.Println(r.URL())
		<-ctx.Done()
		return r.Close()
	}
	events := flag.Int("events", 200_000, "events that the index holds; the goals are for 2,000,000")
	round := flag.Duration("round", 5*time.Second, "how long REQs are sent")
	indexes := flag.Int("indexes", 0, "measure so many list indexes together instead, a fifth of which are hostile")
	flag.Parse()
	missed := 0
	goal := func(what string, value, most float64, unit string) {
		verdict, sign := "ok", "<="
		if value > most && most > 0 || value < -most {
			verdict, missed = "short", missed+1
		}
		if most < 0 {
			sign = ">="
		}
		fmt.Printf("goal %s, %s: %.2f (want %s %g) %s\n", what, unit, value, sign, max(most, -most), verdict)
	}
	var err error
	if *indexes > 0 {
		err = measureCrowd(ctx, *indexes, 100**indexes, goal)
	} else {
		err = measure(ctx, *events, *round, goal)
	}
	if err == nil && missed > 0 {
		err = fmt.Errorf("%d goals are missed", missed)
	}
	return err
}

// goals prints a line for a goal; most is negative where it is the least.
type goals func(what string, value, most float64, unit string)

// open starts an index with the bound that it has by default, but for what the benchmark fills it with.
func open(ctx context.Context, path string) (*homerelay.Relay, error) {
	return homerelay.Start(ctx, homerelay.Config{Path: path, Kinds: kinds, MaxBytes: 64 << 30, Log: slog.New(slog.DiscardHandler)})
}

func measure(ctx context.Context, count int, round time.Duration, goal goals) error {
	dir, err := os.MkdirTemp("", "bench-index")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "lists.db")
	filled, err := fill(ctx, path, count)
	if err != nil {
		return err
	}
	file, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Printf("%d events of %.0f bytes in the mean, stored at %.0f a second\n", count, filled.json/float64(count), filled.rate)
	fmt.Printf("the file is %.2f times the JSON: it grows in large steps, which tell while it is small\n", float64(file.Size())/filled.json)
	goal("disk in use, beside the JSON", filled.used/filled.json, 2.2, "times")
	p, err := start(ctx, path)
	if err != nil {
		return err
	}
	defer p.stop()
	goal("anonymous memory, after the start", p.memory(), 256, "MiB")
	bytes, err := syncBytes(ctx, p.url, path)
	if err != nil {
		return err
	}
	goal("sync with an index that holds the same, each way", bytes/60, 2048, "B/s")
	if _, err := ask(ctx, p, filled.authors, round); err != nil { // warm
		return err
	}
	asked, err := ask(ctx, p, filled.authors, round)
	if err != nil {
		return err
	}
	goal("REQs by author, per second of CPU", asked, -5000, "1/s")
	goal("anonymous memory, after REQs", p.memory(), 256, "MiB")
	return nil
}

// syncBytes returns the bytes that one session about everything takes, both ways, connection included, with an index that has a copy.
func syncBytes(ctx context.Context, url, path string) (float64, error) {
	copied := path + ".copy"
	if err := copyFile(copied, path); err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(copied) }()
	here, err := open(ctx, copied)
	if err != nil {
		return 0, err
	}
	defer here.Close()
	var passed atomic.Int64
	through, err := count(ctx, strings.TrimPrefix(url, "ws://"), &passed)
	if err != nil {
		return 0, err
	}
	const sessions = 5
	for range sessions {
		if err := syncOnce(ctx, here, through); err != nil {
			return 0, err
		}
	}
	return float64(passed.Load()) / sessions, nil
}

// syncOnce is a sync with a sample of what was compared, which that of an index does without.
func syncOnce(ctx context.Context, here *homerelay.Relay, url string) error {
	result, err := run.Sync{
		A: here.URL(), B: url, Filter: nostr.Filter{Kinds: append([]int{nostr.KindDeletion, nostr.KindVanish}, kinds...)}, Down: true,
		Log: slog.New(slog.DiscardHandler),
	}.Run(ctx)
	if err == nil && (result.ToA > 0 || !result.Complete) {
		err = errors.New("indexes that hold the same are not found to: " + result.Why)
	}
	return err
}

// count leads connections to an address, and counts what passes.
func count(ctx context.Context, to string, passed *atomic.Int64) (url string, err error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { ln.Close() })
	pipe := func(to, from net.Conn) {
		_, _ = io.Copy(counter{to, passed}, from) // it ends with the connection
		to.Close()
	}
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			var d net.Dialer
			out, err := d.DialContext(ctx, "tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go pipe(out, in)
			go pipe(in, out)
		}
	}()
	return "ws://" + ln.Addr().String(), nil
}

type counter struct {
	io.Writer

	passed *atomic.Int64
}

func (c counter) Write(b []byte) (int, error) {
	c.passed.Add(int64(len(b)))
	return c.Writer.Write(b)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
