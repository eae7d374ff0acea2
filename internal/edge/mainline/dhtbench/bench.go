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
	"os"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

const (
	atOnce      = 256  // records in work at a time
	hourlyChurn = 0.11 // of the holders of records on Mainline, measured by pkarr
	sixHours    = 0.35
)

type bench struct {
	net   *network
	out   io.Writer
	count int          // records in the id space
	items []bep44.Item // a window of them: a slice that is refreshed
	fresh []bep44.Item // others, all over the id space: new records, and those that readers ask for
}

// window returns signed records of one owner that are neighbours in the id space when there are count of them in all.
func window(count, sample int, owner byte) []bep44.Item {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{owner}, ed25519.SeedSize))
	sample = min(sample, count)
	end := uint64(float64(1<<63) * 2 * (float64(sample) / float64(count) * 0.999))
	value, err := bep44.EncodeRelayList([]string{"wss://relay.example.com", "wss://nos.example", "wss://relay.three.example.org", "wss://x.example"})
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

// row runs an operation on each item and prints one line of the table, unless it has no name.
func (b *bench) row(ctx context.Context, name string, workers int, items []bep44.Item, op func(ctx context.Context, i int) error) error {
	if _, err := b.net.do(command{Reset: true}); err != nil {
		return err
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
	if err := group.Wait(); err != nil || name == "" {
		return err
	}
	cpu := cpuMicroseconds() - before
	var c command
	for i := range items {
		c.Holders = append(c.Holders, items[i].Target())
	}
	r, err := b.net.do(c)
	if err != nil {
		return err
	}
	n, s := float64(len(items)), r.Stats
	_, err = fmt.Fprintf(b.out, "| %d | %s | %.1f | %.2f | %.1f + %.1f | %.0f | %.0f | %.2f | %d | %d |\n", b.count, name,
		float64(s.Packets-s.Puts)/n, float64(s.Puts)/n, float64(s.Packets)/n, float64(s.Replies)/n,
		float64(s.Bytes+s.ReplyBytes)/n, float64(cpu)/n, float64(r.Holders)/n, s.Bans, failed.Load())
	return err
}

// relaymesh measures our node through the life of records: refreshed hour after hour, then every six hours.
func (b *bench) relaymesh(ctx context.Context) error {
	node, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer node.Close()
	last := make([][]mainline.Contact, len(b.items))
	err = b.row(ctx, "", atOnce, b.items, func(ctx context.Context, i int) error {
		res, err := node.Put(ctx, b.items[i], mainline.PutOptions{})
		last[i] = res.Closest
		return err
	})
	if err != nil {
		return err
	}
	if f, err := os.Create("/tmp/refresh.prof"); err == nil {
		pprof.StartCPUProfile(f)
		defer pprof.StopCPUProfile()
	}
	for _, pass := range []struct {
		name  string
		churn float64
	}{
		{"refresh after 1 h", hourlyChurn},
		{"refresh after 1 h, second pass", hourlyChurn},
		{"refresh after 6 h", sixHours},
		{"refresh after 6 h, second pass", sixHours},
		{"refresh after 6 h, 3 pass", sixHours},
		{"refresh after 6 h, 4 pass", sixHours},
		{"refresh after 6 h, 5 pass", sixHours},
	} {
		if _, err := b.net.do(command{Advance: pass.churn}); err != nil {
			return err
		}
		err := b.row(ctx, pass.name, atOnce, b.items, func(ctx context.Context, i int) error {
			res, err := node.Refresh(ctx, b.items[i], last[i])
			if len(res.Closest) > 0 {
				last[i] = res.Closest
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	pprof.StopCPUProfile()
	return b.readers(ctx, node)
}

// readers measures the first put of records all over the id space, and how somebody else finds them.
func (b *bench) readers(ctx context.Context, node *mainline.Node) error {
	err := b.row(ctx, "put, new record", atOnce, b.fresh, func(ctx context.Context, i int) error {
		_, err := node.Put(ctx, b.fresh[i], mainline.PutOptions{})
		return err
	})
	if err != nil {
		return err
	}
	reader, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	return b.row(ctx, "resolve, first value", atOnce, b.fresh, func(ctx context.Context, i int) error {
		it := &b.fresh[i]
		res, err := reader.Get(ctx, it.Target(), it.Salt, mainline.GetOptions{Enough: 1})
		if err == nil && res.Item == nil {
			err = mainline.ErrNoAnswer
		}
		return err
	})
}

// start starts a client and lets it get to know the network: a running one knows it.
func (b *bench) start(ctx context.Context) (*mainline.Node, error) {
	r, err := b.net.do(command{})
	if err != nil {
		return nil, err
	}
	node, err := mainline.Start(ctx, mainline.Config{
		Addr: "127.0.0.1:0", Bootstrap: r.Entrances, ReadOnly: true, AllowPrivate: true, Rate: -1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	var group errgroup.Group
	group.SetLimit(8) // more wait for their turn at the few nodes that are known at first
	for i := range 256 {
		group.Go(func() error {
			_, err := node.Get(ctx, [20]byte{byte(i), 0x80}, nil, mainline.GetOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("the client does not get to know the network: %w", err)
	}
	return node, nil
}

func cpuMicroseconds() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails only for invalid arguments
	return (u.Utime.Nano() + u.Stime.Nano()) / 1000
}
