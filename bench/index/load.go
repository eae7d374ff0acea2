//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// filled is what an index was filled with.
type filled struct {
	json    float64 // bytes
	used    float64 // bytes of the store's file that are in use
	rate    float64 // events a second
	authors []string
}

// fill writes a store; several are at work, so that signing, verifying and storing go together.
func fill(ctx context.Context, path string, count int) (f filled, err error) {
	r, err := open(ctx, path)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f.authors = make([]string, count*60/100)
	var size atomic.Int64
	begun := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(1024)
	for i := range f.authors {
		group.Go(func() error {
			key, err := schnorr.NewSecret()
			if err != nil || ctx.Err() != nil {
				return err
			}
			f.authors[i] = key.PublicKey()
			for _, e := range eventsOf(i) {
				if err := key.SignEvent(&e); err != nil {
					return err
				}
				if ok, why := r.AcceptFrom(strconv.Itoa(i%8), &e); !ok {
					return errors.New(why)
				}
				size.Add(int64(len(nostr.Encode(e))))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return f, err
	}
	_, used, err := r.Kept()
	f.used = float64(used)
	f.json, f.rate = float64(size.Load()), float64(count)/time.Since(begun).Seconds()
	return f, err
}

// eventsOf are an author's: all have a relay list, 25 of 60 a profile and 15 of 60 a list for direct messages.
func eventsOf(i int) []nostr.Event {
	at := time.Now().Unix() - int64(rand.IntN(365*24*3600))
	relays := func(tag string, n int) (tags []nostr.Tag) {
		for range n {
			tags = append(tags, nostr.Tag{tag, fmt.Sprintf("wss://relay%04d.example.com/", rand.IntN(2000))})
		}
		return tags
	}
	list := []nostr.Event{{Kind: nostr.KindRelayList, CreatedAt: at, Tags: relays("r", 4+rand.IntN(12))}}
	if i%60 < 25 {
		about := strings.Repeat("about me ", 20+rand.IntN(60))
		list = append(list, nostr.Event{Kind: 0, CreatedAt: at, Content: fmt.Sprintf(`{"name":"user%d","about":%q}`, i, about)})
	}
	if i%60 >= 45 {
		list = append(list, nostr.Event{Kind: 10050, CreatedAt: at, Tags: relays("relay", 2+rand.IntN(8))})
	}
	return list
}

// process is the index in a process of its own.
type process struct {
	cmd *exec.Cmd
	url string
}

func start(ctx context.Context, path string) (*process, error) {
	cmd := exec.CommandContext(ctx, os.Args[0], "serve", path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the index did not start: %w", err)
	}
	return &process{cmd, strings.TrimSpace(url)}, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}

// memory returns what the process holds, in MiB, without pages of files.
func (p *process) memory() float64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range bytes.Lines(status) {
		if fields := bytes.Fields(line); len(fields) > 1 && string(fields[0]) == "RssAnon:" {
			kib, _ := strconv.ParseFloat(string(fields[1]), 64)
			return kib / 1024
		}
	}
	return 0
}

// cpu returns how many seconds of CPU the process has taken.
func (p *process) cpu() float64 {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	user, _ := strconv.ParseFloat(string(fields[11]), 64)
	system, _ := strconv.ParseFloat(string(fields[12]), 64)
	return (user + system) / 100 // ticks a second, on every Linux
}

// asking is how many clients ask at a time, each from an address of its own.
const asking = 16

// ask sends REQs by author for a time, and returns how many are answered per second of the process's CPU.
func ask(ctx context.Context, p *process, authors []string, round time.Duration) (float64, error) {
	var answered atomic.Int64
	before, end := p.cpu(), time.Now().Add(round)
	group, ctx := errgroup.WithContext(ctx)
	for i := range asking {
		group.Go(func() error {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i+1))}}
			ws, _, err := websocket.Dial(ctx, p.url, &websocket.DialOptions{ //nolint:bodyclose // Dial has read it
				HTTPClient: &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}},
			})
			if err != nil {
				return err
			}
			defer func() { _ = ws.CloseNow() }()
			for time.Now().Before(end) {
				if err := askOne(ctx, ws, authors[rand.IntN(len(authors))]); err != nil {
					return err
				}
				answered.Add(1)
			}
			return nil
		})
	}
	err := group.Wait()
	return float64(answered.Load()) / (p.cpu() - before), err
}

func askOne(ctx context.Context, ws *websocket.Conn, author string) error {
	req := fmt.Appendf(nil, `["REQ","x",{"authors":[%q],"kinds":[10002],"limit":1}]`, author)
	if err := ws.Write(ctx, websocket.MessageText, req); err != nil {
		return err
	}
	for found := false; ; found = true {
		_, answer, err := ws.Read(ctx)
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(answer, []byte(`["EVENT"`)):
		case bytes.HasPrefix(answer, []byte(`["EOSE"`)) && found:
			return nil
		default:
			return fmt.Errorf("the index answers %.200s", answer)
		}
	}
}
