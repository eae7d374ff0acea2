//go:build linux

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// realNetwork measures both clients on a network of real nodes, which run in this process. No node leaves.
func realNetwork(ctx context.Context, out io.Writer, size int, items []bep44.Item) error {
	network, err := dhtnet.Start(ctx, size)
	if err != nil {
		return err
	}
	defer network.Close()
	fmt.Fprintf(out, "\n%d real nodes, %d records, per record:\n\n", size, len(items))
	fmt.Fprintln(out, "| operation | datagrams out + in | nodes that give it back |\n|---|---|---|")

	var counts traffic
	server, err := startLibrary(ctx, network.Bootstrap(), &counts)
	if err != nil {
		return err
	}
	defer server.Close()
	node, err := network.Client(ctx)
	if err != nil {
		return err
	}
	defer node.Close()
	library := func() (sent, received int64) { return counts.sent.Load(), counts.received.Load() }
	ours := func() (sent, received int64) { s := node.Stats(); return s.Sent, s.Received }
	half := len(items) / 2
	last := make([][]mainline.Contact, len(items))
	for _, row := range []struct {
		name    string
		items   []bep44.Item
		traffic func() (sent, received int64)
		op      func(i int, it *bep44.Item) error
	}{
		{"anacrolix getput.Put", items[:half], library, func(_ int, it *bep44.Item) error { return getputOne(ctx, server, it) }},
		{"put", items[half:], ours, func(i int, it *bep44.Item) error {
			res, err := node.Put(ctx, *it, mainline.PutOptions{})
			last[i] = res.Closest
			return err
		}},
		{"refresh", items[half:], ours, func(i int, it *bep44.Item) error {
			_, err := node.Refresh(ctx, *it, last[i])
			return err
		}},
	} {
		sentBefore, receivedBefore := row.traffic()
		for i := range row.items {
			if err := row.op(i, &row.items[i]); err != nil {
				return fmt.Errorf("%s: %w", row.name, err)
			}
		}
		sent, received := row.traffic()
		holders := 0
		for i := range row.items {
			res, err := node.Get(ctx, row.items[i].Target(), row.items[i].Salt, mainline.GetOptions{})
			if err != nil {
				return err
			}
			holders += len(res.Holders)
		}
		n := float64(len(row.items))
		fmt.Fprintf(out, "| %s | %.1f + %.1f | %.2f |\n", row.name, float64(sent-sentBefore)/n, float64(received-receivedBefore)/n,
			float64(holders)/n)
	}
	return nil
}
