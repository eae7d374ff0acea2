package main

import (
	"fmt"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// frame is the frame limit of both servers of a bridge, and what they accept.
const frame = 60_000

// bridge reconciles two servers through a bridge. weigh also measures how much
// memory it holds at most, between any two messages.
func (b *bench) bridge(p pair, weigh bool) (peak uint64, messages int, err error) {
	servers := []*ours{newOurs(ourVector(p.a), frame), newOurs(ourVector(p.b), frame)}
	onlyA, onlyB := make([]negentropy.ID, 0, len(p.onlyA)), make([]negentropy.ID, 0, len(p.onlyB))
	base := live()
	var bridge *negentropy.Bridge
	c := measure(1, func() {
		bridge = negentropy.NewBridge(negentropy.BridgeOptions{
			OnlyA: func(id negentropy.ID) { onlyA = append(onlyA, id) },
			OnlyB: func(id negentropy.ID) { onlyB = append(onlyB, id) },
		})
		for err == nil && !bridge.Done() {
			for s, server := range servers {
				msg, ok := bridge.Next(negentropy.Side(s))
				if !ok {
					continue
				}
				var answer []byte
				if answer, err = server.Answer(msg); err != nil {
					return
				}
				if err = bridge.Feed(negentropy.Side(s), answer); err != nil {
					return
				}
				if weigh {
					peak = max(peak, live()-min(live(), base))
				}
			}
		}
	})
	messages = bridge.Messages(negentropy.SideA) + bridge.Messages(negentropy.SideB)
	if err != nil {
		return peak, messages, err
	}
	if !slices.Equal(set(onlyA), p.onlyA) || !slices.Equal(set(onlyB), p.onlyB) {
		return peak, messages, fmt.Errorf("bridge: wrong differences")
	}
	memory := "not measured"
	if weigh {
		memory = fmt.Sprint(peak)
	}
	fmt.Printf("| two sets of %d | %d | %.1f | %d | %s |\n", len(p.a), len(p.onlyA)+len(p.onlyB), c.ms(), messages, memory)
	return peak, messages, nil
}
