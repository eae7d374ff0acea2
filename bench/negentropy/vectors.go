package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// vectorCases are small sets: what only A has, what both have, what only B has,
// and how many items share a timestamp. No message of theirs overflows.
var vectorCases = [][4]int{
	{0, 0, 0, 1},
	{1, 0, 0, 1},
	{0, 0, 40, 1},
	{3, 20, 2, 1},
	{31, 0, 32, 4},
	{5, 200, 5, 1},
	{5, 200, 5, 50},
	{2, 300, 2, 1000},
}

// vectorItems makes items first <= i < end: the id is SHA-256 of i in decimal,
// the timestamp 1000 + i / perTimestamp.
func vectorItems(first, end, perTimestamp int) []negentropy.Item {
	var items []negentropy.Item
	for i := first; i < end; i++ {
		items = append(items, negentropy.Item{
			Timestamp: uint64(1000 + i/perTimestamp),
			ID:        sha256.Sum256([]byte(strconv.Itoa(i))),
		})
	}
	return items
}

// writeVectors prints the messages of whole sessions between two go-nostr sides.
func writeVectors(w io.Writer) error {
	fmt.Fprintln(w, "# Sessions between two sides of go-nostr v0.52.3, made in bench/negentropy by:")
	fmt.Fprintln(w, "#   go run . -vectors > ../../pkg/negentropy/testdata/vectors.txt")
	fmt.Fprintln(w, "# case,<only A>,<shared>,<only B>,<items per timestamp>: item i has the id")
	fmt.Fprintln(w, "# SHA-256(i in decimal) and the timestamp 1000 + i / <items per timestamp>.")
	fmt.Fprintln(w, "# Frame limits are 0 and 16384; the messages are the same.")
	for _, c := range vectorCases {
		onlyA, shared, onlyB, per := c[0], c[1], c[2], c[3]
		fmt.Fprintf(w, "case,%d,%d,%d,%d\n", onlyA, shared, onlyB, per)
		a, b := vectorItems(0, onlyA+shared, per), vectorItems(onlyA, onlyA+shared+onlyB, per)
		alice, bob := newTheirs(newTheirVector(a), 0), newTheirs(newTheirVector(b), 0)
		for msg, done := alice.Start(), false; !done; {
			fmt.Fprintf(w, "up,%s\n", msg)
			answer, err := bob.Answer(msg)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "down,%s\n", answer)
			if msg, done, err = alice.Next(answer); err != nil {
				return err
			}
		}
		alice.Found()
	}
	return nil
}
