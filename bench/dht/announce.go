//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
)

const (
	infohashes    = 16
	announceRound = 12 * time.Minute // in which a list index announces all infohashes
	announcedTo   = 20               // nodes
	lookUps       = 3                // of one infohash each, in a round, for indexes that are new
	restRounds    = 3
	restRate      = 2 // packets a second that an index at rest may send
)

// announcing prints what a list index at rest sends: rounds of announcements, each from the nodes that were nearest in the one
// before, and what the node sends by itself meanwhile.
func announcing(ctx context.Context, net *network, out io.Writer) error {
	dir, err := os.MkdirTemp("", "dhtbench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := bench{net: net}
	node, err := b.start(ctx, filepath.Join(dir, "nodes"))
	if err != nil {
		return err
	}
	defer node.Close()
	last := map[[20]byte][]mainline.Contact{}
	fmt.Fprintf(out, "\nA list index announces itself, %d infohashes to %d nodes each, every %v, and looks %d up:\n\n",
		infohashes, announcedTo, announceRound, lookUps)
	fmt.Fprintln(out, "| round | packets | took |\n|---|---|---|")
	for round := range 1 + restRounds {
		if _, err := net.do(command{Reset: true, Advance: sixHours * announceRound.Hours() / 6}); err != nil {
			return err
		}
		took := 0
		for n := range infohashes {
			hash := [20]byte{byte(16 * n), 0x5a}
			result, err := node.Announce(ctx, hash, 4848, announcedTo, last[hash])
			if err != nil && !errors.Is(err, mainline.ErrNotAnnounced) { // a busy machine answers too late; took tells
				return err
			}
			last[hash] = result.Closest
			took += result.Took
			if n < lookUps {
				if _, err := node.Peers(ctx, hash, 0, nil); err != nil && !errors.Is(err, mainline.ErrNoAnswer) {
					return err
				}
			}
		}
		r, err := net.do(command{})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "| %d | %d | %d |\n", 1+round, r.Stats.Packets, took)
		if round == restRounds {
			resting, err := idle(ctx, net)
			if err != nil {
				return err
			}
			rate := float64(r.Stats.Packets)/announceRound.Seconds() + resting
			fmt.Fprintf(out, "by itself the node sends %.2f packets a second\ngoal packets a second of an index at rest: %.2f (want <= %d) %s\n",
				resting, rate, restRate, map[bool]string{true: "ok", false: "short"}[rate <= restRate])
		}
	}
	return nil
}

// idle is how many packets a second a node sends that nobody asks for anything.
func idle(ctx context.Context, net *network) (float64, error) {
	const watched = time.Minute
	if _, err := net.do(command{Reset: true}); err != nil {
		return 0, err
	}
	select {
	case <-time.After(watched):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	r, err := net.do(command{})
	return float64(r.Stats.Packets) / watched.Seconds(), err
}
