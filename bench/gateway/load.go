//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	workers = 16 // of a closed loop
	// open is how many connections an open loop has; an operation that finds none free waits, which counts.
	open = 64
)

// elsewhere are notes that the relay never has, by id; every process signs the same.
var elsewhere = sync.OnceValue(func() map[string]*nostr.Event {
	all := map[string]*nostr.Event{}
	for i := range 50 {
		e := sign(fmt.Sprintf("%064x", 1), nostr.Event{Kind: 1, CreatedAt: int64(i), Content: "elsewhere"})
		all[e.ID] = &e
	}
	return all
})

func sign(secret string, e nostr.Event) nostr.Event {
	key, err := schnorr.ParseSecret(secret)
	if err == nil {
		err = key.SignEvent(&e)
	}
	if err != nil {
		panic(err)
	}
	return e
}

// notes signs n notes.
func notes(n int) []nostr.Event {
	list := make([]nostr.Event, n)
	base := time.Now().Unix() - int64(n)
	for i := range list {
		list[i] = sign(fmt.Sprintf("%064x", 2+rand.N(1000)), nostr.Event{
			Kind: 1, CreatedAt: base + int64(i), Content: fmt.Sprintf("note %d: %s", i, bytes.Repeat([]byte("words "), rand.N(60))),
		})
	}
	return list
}

type client struct{ ws *websocket.Conn }

func (c *client) close() { _ = c.ws.CloseNow() }

// dial connects, from an address of loopback of its own if from is not 0.
func dial(ctx context.Context, url string, from int) (*client, error) {
	d := net.Dialer{}
	if from > 0 {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 1, byte(from>>8), byte(from))}
	}
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{ //nolint:bodyclose // Dial has read it
		CompressionMode: websocket.CompressionDisabled,
		HTTPClient:      &http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}},
	})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(-1)
	return &client{ws}, nil
}

// ask sends a message and reads until one begins with any of the ends.
func (c *client) ask(ctx context.Context, message string, ends ...string) (read int, err error) {
	if err := c.ws.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		return 0, err
	}
	for {
		_, data, err := c.ws.Read(ctx)
		if err != nil {
			return read, err
		}
		for _, end := range ends {
			if bytes.HasPrefix(data, []byte(end)) {
				return read, nil
			}
		}
		read++
	}
}

// expect reads the next message, an event that must have this id.
func (c *client) expect(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, data, err := c.ws.Read(ctx)
	if err == nil && !bytes.Contains(data, []byte(id)) {
		err = fmt.Errorf("got %.100s", data)
	}
	return err
}

// negOpen asks for all that the relay has of a second, of which we have nothing.
func (c *client) negOpen(ctx context.Context, at int64) error {
	_, err := c.ask(ctx, fmt.Sprintf(`["NEG-OPEN","n",{"since":%d,"until":%d},"6100000200"]`, at, at+50), `["NEG-MSG"`, `["NEG-ERR`)
	if err != nil {
		return err
	}
	return c.ws.Write(ctx, websocket.MessageText, []byte(`["NEG-CLOSE","n"]`))
}

// load is what a round does.
type load struct {
	big  bool // REQs of 500 events alone, not the mix
	next func() *nostr.Event
	at   int64 // of the oldest note
}

func (l *load) one(ctx context.Context, c *client) error {
	if l.big {
		_, err := c.ask(ctx, `["REQ","r",{"kinds":[1],"limit":500}]`, `["EOSE"`)
		return err
	}
	switch p := rand.N(10); {
	case p < 2:
		e := l.next()
		if e == nil {
			return errors.New("no more notes: a shorter -round")
		}
		_, err := c.ask(ctx, `["EVENT",`+string(nostr.Encode(e))+`]`, `["OK"`)
		return err
	case p < 9:
		_, err := c.ask(ctx, `["REQ","r",{"kinds":[1],"limit":20}]`, `["EOSE"`)
		return err
	default:
		return c.negOpen(ctx, l.at+rand.N(int64(500)))
	}
}

// figures are those of a round.
type figures struct {
	took []time.Duration
	rate float64 // a second
}

// drive runs workers for a while.
func (l *load) drive(url string, during time.Duration) (figures, error) {
	ctx, cancel := context.WithTimeout(context.Background(), during+time.Minute)
	defer cancel()
	var mu sync.Mutex
	var f figures
	var errs []error
	var wait sync.WaitGroup
	var stop atomic.Bool
	begun := time.Now()
	time.AfterFunc(during, func() { stop.Store(true) })
	for range workers {
		wait.Go(func() {
			took, err := l.work(ctx, url, &stop)
			mu.Lock()
			defer mu.Unlock()
			f.took, errs = append(f.took, took...), append(errs, err)
		})
	}
	wait.Wait()
	f.rate = float64(len(f.took)) / time.Since(begun).Seconds()
	slices.Sort(f.took)
	return f, errors.Join(errs...)
}

func (l *load) work(ctx context.Context, url string, stop *atomic.Bool) (took []time.Duration, err error) {
	c, err := dial(ctx, url, 0)
	if err != nil {
		return nil, err
	}
	defer c.close()
	for !stop.Load() {
		begun := time.Now()
		if err := l.one(ctx, c); err != nil {
			return took, err
		}
		took = append(took, time.Since(begun))
	}
	return took, nil
}

// offer begins operations at times that no answer delays, so many a second in the mean, for a while. Each counts from the time at
// which it was due: what a stall makes wait is seen as the wait that it is (no coordinated omission).
func (l *load) offer(clients []*client, rate float64, during time.Duration) (figures, error) {
	ctx, cancel := context.WithTimeout(context.Background(), during+time.Minute)
	defer cancel()
	begun := time.Now()
	due := make(chan time.Time, 1<<16)
	var group errgroup.Group
	var mu sync.Mutex
	var f figures
	for _, c := range clients {
		group.Go(func() error {
			for at := range due {
				if err := l.one(ctx, c); err != nil {
					return err
				}
				took := time.Since(at)
				mu.Lock()
				f.took = append(f.took, took)
				mu.Unlock()
			}
			return nil
		})
	}
	for at := begun; at.Before(begun.Add(during)); at = at.Add(time.Duration(rand.ExpFloat64() * float64(time.Second) / rate)) {
		time.Sleep(time.Until(at))
		due <- at
	}
	close(due)
	err := group.Wait()
	f.rate = float64(len(f.took)) / time.Since(begun).Seconds()
	slices.Sort(f.took)
	return f, err
}

// dialAll opens the connections of an open loop.
func dialAll(url string) (list []*client, err error) {
	for range open {
		c, err := dial(context.Background(), url, 0)
		if err != nil {
			return list, err
		}
		list = append(list, c)
	}
	return list, nil
}

func (f figures) at(percent int) float64 {
	if len(f.took) == 0 {
		return 0
	}
	return float64(f.took[min(len(f.took)*percent/100, len(f.took)-1)].Microseconds()) / 1000
}
