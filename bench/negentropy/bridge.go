package main

import (
	"fmt"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// frame is the frame limit of both servers of a bridge, and what they accept.
const frame = 60_000

// bridge reconciles two servers through a bridge. weigh also measures how much
// the bridge holds at most, while a message is under way and after each answer;
// the servers' own buffers, which they have grown in a pass before, do not count.
func (b *bench) bridge(p pair, weigh bool) (peak uint64, messages int, err error) {
	servers := []*ours{newOurs(ourVector(p.a), frame), newOurs(ourVector(p.b), frame)}
	pass := func(watch func()) (*negentropy.Bridge, []negentropy.ID, []negentropy.ID) {
		onlyA, onlyB := make([]negentropy.ID, 0, len(p.onlyA)), make([]negentropy.ID, 0, len(p.onlyB))
		bridge := negentropy.NewBridge(negentropy.BridgeOptions{
			OnlyA: func(id negentropy.ID) { onlyA = append(onlyA, id) },
			OnlyB: func(id negentropy.ID) { onlyB = append(onlyB, id) },
		})
		for err == nil && !bridge.Done() {
			for s, server := range servers {
				msg, ok := bridge.Next(negentropy.Side(s))
				if !ok {
					continue
				}
				watch()
				var answer []byte
				if answer, err = server.Answer(msg); err != nil {
					break
				}
				if err = bridge.Feed(negentropy.Side(s), answer); err != nil {
					break
				}
				watch()
			}
		}
		return bridge, onlyA, onlyB
	}

	var bridge *negentropy.Bridge
	var onlyA, onlyB []negentropy.ID
	c := measure(1, func() { bridge, onlyA, onlyB = pass(func() {}) })
	messages = bridge.Messages(negentropy.SideA) + bridge.Messages(negentropy.SideB)
	if err == nil && (!slices.Equal(set(onlyA), p.onlyA) || !slices.Equal(set(onlyB), p.onlyB)) {
		err = fmt.Errorf("bridge: wrong differences")
	}
	memory := "not measured"
	if weigh {
		bridge, onlyA, onlyB = nil, nil, nil
		base := live() + uint64(len(p.onlyA)+len(p.onlyB))*uint64(len(negentropy.ID{}))
		pass(func() { peak = max(peak, live()-base) })
		memory = fmt.Sprint(peak)
	}
	fmt.Printf("| two sets of %d | %d | %.1f | %d | %s |\n", len(p.a), len(p.onlyA)+len(p.onlyB), c.ms(), messages, memory)
	return peak, messages, err
}
