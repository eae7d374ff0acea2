//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// atOnce is how many records are in work at a time.
const atOnce = 256

// bench measures records of one density.
type bench struct {
	net   *network
	out   io.Writer
	file  string       // the client's nodes file
	count int          // records in the id space
	items []bep44.Item // a window of them: a slice that is refreshed
	fresh []bep44.Item // others, all over the id space: new records, and those that readers ask for
	bans  int          // of our clients
}

// window returns signed records of one owner that are neighbours in the id space when there are count of them in all.
func window(count, sample int, owner byte) []bep44.Item {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{owner}, ed25519.SeedSize))
	sample = min(sample, count)
	end := uint64(float64(1<<63) * 2 * (float64(sample) / float64(count) * 0.999))
	value, err := bep44.EncodeRelayList([]string{
		"wss://relay.example.com", "wss://nos.example", "wss://relay.three.example.org", "wss://x.example",
	})
	if err != nil {
		panic(err)
	}
	var items []bep44.Item
	public := [32]byte(key.Public().(ed25519.PublicKey))
	for i := uint64(0); len(items) < sample && i < 2*uint64(count); i++ {
		salt := binary.BigEndian.AppendUint64(nil, i)
		if target := bep44.Target(public, salt); binary.BigEndian.Uint64(target[:]) < end {
			it := bep44.Item{Salt: salt, Seq: 1732000000, Value: value}
			if err := it.Sign(key); err != nil {
				panic(err)
			}
			items = append(items, it)
		}
	}
	slices.SortFunc(items, func(a, b bep44.Item) int {
		ta, tb := a.Target(), b.Target()
		return bytes.Compare(ta[:], tb[:])
	})
	return items
}

// cost is what an operation took, per record unless it says otherwise.
type cost struct {
	gets, puts, sent, received, bytes float64
	cpu                               float64 // µs of this process, the kernel's share included
	holders                           float64 // of the true eight
	bans, failed                      int     // in all
}

func (c cost) datagrams() float64 { return c.sent + c.received }

// mean is the average of measurements of equally many records; bans and failures add up.
func mean(of ...cost) (m cost) {
	n := float64(len(of))
	for _, c := range of {
		m.gets, m.puts, m.bytes, m.cpu, m.holders = m.gets+c.gets/n, m.puts+c.puts/n, m.bytes+c.bytes/n, m.cpu+c.cpu/n, m.holders+c.holders/n
		m.sent, m.received = m.sent+c.sent/n, m.received+c.received/n
		m.bans, m.failed = m.bans+c.bans, m.failed+c.failed
	}
	return m
}

// row runs an operation on each item and prints one line of the table.
func (b *bench) row(ctx context.Context, name string, workers int, items []bep44.Item,
	op func(ctx context.Context, i int) error,
) (cost, error) {
	if _, err := b.net.do(command{Reset: true}); err != nil {
		return cost{}, err
	}
	before := cpuMicroseconds()
	var failed atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range items {
		group.Go(func() error {
			if err := op(ctx, i); err != nil {
				failed.Add(1)
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return cost{}, err
	}
	cpu := cpuMicroseconds() - before
	var c command
	for i := range items {
		c.Holders = append(c.Holders, items[i].Target())
	}
	r, err := b.net.do(c)
	if err != nil {
		return cost{}, err
	}
	n, s := float64(len(items)), r.Stats
	k := cost{
		gets: float64(s.Packets-s.Puts) / n, puts: float64(s.Puts) / n, sent: float64(s.Packets) / n, received: float64(s.Replies) / n,
		bytes: float64(s.Bytes+s.ReplyBytes) / n, cpu: float64(cpu) / n, holders: float64(r.Holders) / n, bans: s.Bans,
		failed: int(failed.Load()),
	}
	_, err = fmt.Fprintf(b.out, "| %s | %s | %.1f | %.2f | %.1f + %.1f | %.0f | %.0f | %.2f | %d | %d |\n", short(b.count), name,
		k.gets, k.puts, k.sent, k.received, k.bytes, k.cpu, k.holders, k.bans, k.failed)
	return k, err
}

// short is a count as a table shows it.
func short(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%d M", n/1_000_000)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%d k", n/1000)
	default:
		return strconv.Itoa(n)
	}
}

// start starts a client from the nodes file, as one that was restarted: it knows good nodes, and nothing that it would have
// forgotten during the hours that the network was made to pass.
func (b *bench) start(ctx context.Context, file string) (*mainline.Node, error) {
	r, err := b.net.do(command{})
	if err != nil {
		return nil, err
	}
	return mainline.Start(ctx, mainline.Config{
		Addr: "127.0.0.1:0", Bootstrap: r.Entrances, ReadOnly: true, AllowPrivate: true, Rate: -1, NodesFile: file,
		Log: slog.New(slog.DiscardHandler),
	})
}

// learn lets a client get to know the network.
func learn(ctx context.Context, node *mainline.Node) error {
	var group errgroup.Group
	group.SetLimit(32) // more would wait for the few nodes known at first
	for i := range 256 {
		group.Go(func() error {
			_, err := node.Get(ctx, [20]byte{byte(i), 0x80}, nil, mainline.GetOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("the client does not get to know the network: %w", err)
	}
	return nil
}

func cpuMicroseconds() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails only for invalid arguments
	return (u.Utime.Nano() + u.Stime.Nano()) / 1000
}
