package negentropy_test

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// note makes an item; for Nostr these are an event's created_at and id.
func note(timestamp uint64, text string) negentropy.Item {
	return negentropy.Item{Timestamp: timestamp, ID: sha256.Sum256([]byte(text))}
}

// Two relays reconcile each other, by one who holds none of their events.
func Example() {
	hello := negentropy.Item{Timestamp: 1, ID: sha256.Sum256([]byte("hello"))} // of an event: created_at and id
	world := negentropy.Item{Timestamp: 2, ID: sha256.Sum256([]byte("world"))}
	relays := []*negentropy.Reconciler{
		negentropy.NewReconciler(negentropy.NewVector([]negentropy.Item{hello, world}), negentropy.Options{}),
		negentropy.NewReconciler(negentropy.NewVector([]negentropy.Item{hello}), negentropy.Options{}),
	}
	bridge := negentropy.NewBridge(negentropy.BridgeOptions{
		OnlyA: func(id negentropy.ID) { fmt.Printf("only A has %.8s\n", id) },
		OnlyB: func(id negentropy.ID) { fmt.Printf("only B has %.8s\n", id) },
	})
	for !bridge.Done() {
		for side := range negentropy.Side(2) {
			msg, ok := bridge.Next(side)
			if !ok {
				continue
			}
			answer, err := relays[side].Respond(msg) // over a network, a NEG-MSG and its answer
			if err != nil {
				fmt.Println(err)
				return
			}
			if err := bridge.Feed(side, answer); err != nil {
				fmt.Println(err)
				return
			}
		}
	}
	fmt.Println("proved to be equal:", bridge.Proved())
	// Output:
	// only A has 486ea462
	// proved to be equal: false
}

func ExampleReconciler() {
	alice := negentropy.NewVector([]negentropy.Item{note(1, "hello"), note(2, "world")})
	bob := negentropy.NewVector([]negentropy.Item{note(1, "hello"), note(3, "bob was here")})

	initiator := negentropy.NewReconciler(alice, negentropy.Options{
		FrameLimit: 60_000,
		Have:       func(id negentropy.ID) { fmt.Printf("only alice has %.8s\n", id) },
		Need:       func(id negentropy.ID) { fmt.Printf("only bob has %.8s\n", id) },
	})
	responder := negentropy.NewReconciler(bob, negentropy.Options{FrameLimit: 60_000})

	msg, done := initiator.Initiate(), false
	for !done {
		answer, err := responder.Respond(msg) // over a network, the other side does this
		if err != nil {
			fmt.Println(err)
			return
		}
		if msg, done, err = initiator.Reconcile(answer); err != nil {
			fmt.Println(err)
			return
		}
	}
	// Output:
	// only alice has 486ea462
	// only bob has fd962c8f
}

// One side of a bridge may be a local set, for example the ids of a relay that
// does not speak NIP-77.
func ExampleSideOptions() {
	listed := negentropy.NewVector([]negentropy.Item{note(1, "hello"), note(2, "world")})
	remote := negentropy.NewReconciler(negentropy.NewVector([]negentropy.Item{note(1, "hello"), note(2, "world")}), negentropy.Options{})

	bridge := negentropy.NewBridge(negentropy.BridgeOptions{B: negentropy.SideOptions{Store: listed}})
	for msg, ok := bridge.Next(negentropy.SideA); ok; msg, ok = bridge.Next(negentropy.SideA) {
		answer, err := remote.Respond(msg)
		if err == nil {
			err = bridge.Feed(negentropy.SideA, answer)
		}
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println("proved to be equal:", bridge.Proved())
	// Output: proved to be equal: true
}

func ExampleTree() {
	tree := negentropy.NewTree([]negentropy.Item{note(1, "hello")})
	before := tree.Snapshot()
	tree.Insert(note(2, "world"))
	tree.Insert(note(3, "again"))
	after := tree.Snapshot()
	fmt.Println(before.Len(), after.Len(), negentropy.Range(after, 2, 2).Len())
	// Output: 1 3 1
}

func ExampleVector() {
	v := negentropy.NewVector([]negentropy.Item{note(20, "b"), note(10, "a"), note(20, "b")})
	ids := slices.Collect(slices.Chunk(v.AppendIDs(nil, 0, v.Len()), 32))
	fmt.Printf("%d items, the first is %x\n", v.Len(), ids[0][:4])
	// Output: 2 items, the first is ca978112
}
