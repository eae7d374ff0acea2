//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// attack is what the hostile addresses do.
type attack struct{ open, sent atomic.Int64 }

// ways are how a connection is hostile. Each returns when the relay has ended
// it, and then there is another.
var ways = []func(context.Context, *attack, *conn){
	largeFilters, slowReader, manySessions, forgedEvents, halfMessage, idle, searches, largeEvents,
}

// relayURL is the environment variable that names the relay to the attackers.
const relayURL = "HOSTILE_RELAY"

// strangers attack until they are interrupted. They have a process of their own,
// of low priority: what they do would be done on other machines.
func strangers(ctx context.Context) error {
	threads, err := os.ReadDir("/proc/self/task") // those to come have the priority of one of these
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err == nil {
			err = syscall.Setpriority(syscall.PRIO_PROCESS, id, 19)
		}
		if err != nil {
			return err
		}
	}
	fmt.Println("ready")
	a := startAttack(ctx, os.Getenv(relayURL))
	<-ctx.Done()
	fmt.Printf("the strangers had %d connections, and sent %d messages\n", a.open.Load(), a.sent.Load())
	return nil
}

func startAttack(ctx context.Context, url string) *attack {
	a := &attack{}
	for i := range addresses {
		if !hostileAddress(i) {
			continue
		}
		for j := range perAddress {
			way := ways[(i/oneHostile+j)%len(ways)]
			go func() {
				for ctx.Err() == nil {
					if c, err := dial(ctx, url, address(i)); err == nil {
						a.open.Add(1)
						way(ctx, a, c)
						a.open.Add(-1)
						c.close()
					}
					time.Sleep(time.Second / 4)
				}
			}()
		}
	}
	return a
}

func (a *attack) send(ctx context.Context, c *conn, text string) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	a.sent.Add(1)
	return c.send(ctx, text) == nil
}

// discard reads until the connection ends.
func discard(ctx context.Context, c *conn) {
	for {
		if _, err := c.next(ctx); err != nil {
			return
		}
	}
}

var manyValues = sync.OnceValue(func() string {
	values := make([]string, 73_000)
	for i := range values {
		values[i] = strconv.FormatInt(int64(i), 36)
	}
	return `"` + strings.Join(values, `","`) + `"`
})

// largeFilters asks for as many values as a message holds, again and again.
func largeFilters(ctx context.Context, a *attack, c *conn) {
	go discard(ctx, c)
	for i := 0; a.send(ctx, c, fmt.Sprintf(`["REQ","l%d",{"#t":[%s],"limit":1}]`, i%2, manyValues())); i++ {
	}
}

// slowReader asks for everything and reads nothing.
func slowReader(ctx context.Context, a *attack, c *conn) {
	for i := range 64 {
		if !a.send(ctx, c, fmt.Sprintf(`["REQ","s%d",{}]`, i)) {
			return
		}
	}
	wait(ctx, time.Minute)
}

// manySessions opens what sessions there are, over sets of its own.
func manySessions(ctx context.Context, a *attack, c *conn) {
	go discard(ctx, c)
	for i := 0; a.send(ctx, c, fmt.Sprintf(`["NEG-OPEN","n%d",{"since":%d},"6100000200"]`, i%16, rand.IntN(1000))); i++ {
	}
}

// forgedEvents sends events whose signatures must be checked to be refused.
func forgedEvents(ctx context.Context, a *attack, c *conn) {
	go discard(ctx, c)
	e, err := note(time.Now().Unix(), "")
	if err != nil {
		return
	}
	for i := 0; ; i++ {
		e.Content = strconv.Itoa(i)
		e.ID = e.Hash()
		if !a.send(ctx, c, string(nostr.Message("EVENT", e))) {
			return
		}
	}
}

// largeEvents sends events of ten thousand tags, which are stored.
func largeEvents(ctx context.Context, a *attack, c *conn) {
	go discard(ctx, c)
	tags := make([]nostr.Tag, nostr.MaxTags)
	for i := range tags {
		tags[i] = nostr.Tag{"t", strconv.Itoa(i)}
	}
	for {
		e, err := note(time.Now().Unix(), "", tags...)
		if err != nil || !a.send(ctx, c, string(nostr.Message("EVENT", e))) {
			return
		}
	}
}

// halfMessage sends most of a message and never its end.
func halfMessage(ctx context.Context, a *attack, c *conn) {
	w, err := c.ws.Writer(ctx, websocket.MessageText)
	if err != nil {
		return
	}
	a.sent.Add(1)
	if _, err := w.Write(make([]byte, 500_000)); err != nil {
		return
	}
	wait(ctx, time.Minute)
}

// idle does nothing.
func idle(ctx context.Context, _ *attack, c *conn) { discard(ctx, c) }

// searches asks for what costs most to find.
func searches(ctx context.Context, a *attack, c *conn) {
	go discard(ctx, c)
	for i := 0; ; i++ {
		if !a.send(ctx, c, fmt.Sprintf(`["REQ","q%d",{"#t":["1","2","3"],"kinds":[7]},{"since":%d}]`, i%64, rand.IntN(1000))) {
			return
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
