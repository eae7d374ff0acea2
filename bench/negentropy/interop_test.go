package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// pairs is the number of random pairs of sets for each direction and frame limit.
const pairs = 200

// randomPair makes sets of up to 3000 items, with few or many timestamps, of
// which some or all differ.
func randomPair(seed uint64) pair {
	rng := rand.New(rand.NewPCG(seed, 77))
	n := 1 + rng.IntN(1<<rng.IntN(13))
	span := 1 + rng.Uint64N(1<<rng.IntN(26))
	onlyA, onlyB := rng.IntN(n+1), rng.IntN(n+1)
	if rng.IntN(2) == 0 {
		onlyA, onlyB = onlyA/10, onlyB/10
	}
	return overlapping(rng, n+max(onlyA, onlyB), onlyA, onlyB, func() uint64 { return 1_700_000_000 + rng.Uint64N(span) })
}

func (p *pair) check(t *testing.T, have, need []negentropy.ID) {
	t.Helper()
	if have = set(have); !slices.Equal(have, p.onlyA) {
		t.Errorf("have %d ids, want %d", len(have), len(p.onlyA))
	}
	if need = set(need); !slices.Equal(need, p.onlyB) {
		t.Errorf("need %d ids, want %d", len(need), len(p.onlyB))
	}
}

// peers make a session over a set, for each of the other implementations.
var peers = map[string]func(items []negentropy.Item, limit int) side[[]byte]{
	"go-nostr": func(items []negentropy.Item, limit int) side[[]byte] {
		return raw{newTheirs(newTheirVector(items), limit)}
	},
	"illuzen": func(items []negentropy.Item, limit int) side[[]byte] {
		return newIlluzen(newIlluzenVector(items), limit)
	},
}

func TestInterop(t *testing.T) {
	for name, peer := range peers {
		for _, limit := range []int{0, 4096, 60_000} {
			check := func(t *testing.T, initiator, responder func([]negentropy.Item, int) side[[]byte]) {
				for seed := range uint64(pairs) {
					p := randomPair(seed)
					alice := initiator(p.a, limit)
					if _, err := drive(alice, responder(p.b, limit)); err != nil {
						t.Fatalf("pair %d: %v", seed, err)
					}
					have, need := alice.Found()
					p.check(t, have, need)
				}
			}
			self := func(items []negentropy.Item, limit int) side[[]byte] { return newOurs(ourVector(items), limit) }
			t.Run(fmt.Sprintf("ours to %s, frame limit %d", name, limit), func(t *testing.T) { check(t, self, peer) })
			t.Run(fmt.Sprintf("%s to ours, frame limit %d", name, limit), func(t *testing.T) { check(t, peer, self) })
		}
	}
}

// Where nothing overflows, ours and theirs say the same, byte for byte.
func TestSameBytes(t *testing.T) {
	for name, peer := range peers {
		t.Run(name, func(t *testing.T) { testSameBytes(t, peer) })
	}
}

func testSameBytes(t *testing.T, peer func([]negentropy.Item, int) side[[]byte]) {
	for _, limit := range []int{0, 500_000} {
		for seed := range uint64(pairs) {
			p := randomPair(seed)
			alice, bob := newOurs(ourVector(p.a), limit), newOurs(ourVector(p.b), limit)
			otherAlice, otherBob := peer(p.a, limit), peer(p.b, limit)
			msg, want := alice.Start(), otherAlice.Start()
			for done, otherDone := false, false; !done; {
				if !bytes.Equal(msg, want) {
					t.Fatalf("pair %d: initiator's messages differ:\n%x\n%x", seed, msg, want)
				}
				answer, err := bob.Answer(msg)
				if err != nil {
					t.Fatal(err)
				}
				if want, err = otherBob.Answer(msg); err != nil || !bytes.Equal(answer, want) {
					t.Fatalf("pair %d: answers differ (%v):\n%x\n%x", seed, err, answer, want)
				}
				if msg, done, err = alice.Next(answer); err != nil {
					t.Fatal(err)
				}
				if want, otherDone, err = otherAlice.Next(want); err != nil || done != otherDone {
					t.Fatalf("pair %d: done: %v, theirs: %v (%v)", seed, done, otherDone, err)
				}
			}
		}
	}
}

// bridge carries messages between two go-nostr responders.
func bridge(t *testing.T, p pair, frameA, frameB int, opts negentropy.BridgeOptions) {
	t.Helper()
	var onlyA, onlyB []negentropy.ID
	opts.OnlyA = func(id negentropy.ID) { onlyA = append(onlyA, id) }
	opts.OnlyB = func(id negentropy.ID) { onlyB = append(onlyB, id) }
	b := negentropy.NewBridge(opts)
	servers := []raw{{newTheirs(newTheirVector(p.a), frameA)}, {newTheirs(newTheirVector(p.b), frameB)}}
	for !b.Done() {
		for s, server := range servers {
			msg, ok := b.Next(negentropy.Side(s))
			if !ok {
				continue
			}
			answer, err := server.Answer(msg)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Feed(negentropy.Side(s), answer); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.check(t, onlyA, onlyB)
}

func TestBridgeOfTwoServers(t *testing.T) {
	for seed := range uint64(pairs) {
		p := randomPair(seed)
		bridge(t, p, 0, 0, negentropy.BridgeOptions{})
		bridge(t, p, 4096, 60_000, negentropy.BridgeOptions{A: negentropy.SideOptions{Answers: 4096}})
		bridge(t, p, 60_000, 4096, negentropy.BridgeOptions{A: negentropy.SideOptions{Accepts: 4096}})
	}
}

// These sets and limits make go-nostr lose 29 differences on its own, and none
// when it serves both sides of a bridge.
func TestLossPair(t *testing.T) {
	p := pair{a: readItems(t, "loss-a.txt.gz"), b: readItems(t, "loss-b.txt.gz")}
	inA, inB := make(map[negentropy.Item]bool), make(map[negentropy.Item]bool)
	for _, it := range p.a {
		inA[it] = true
	}
	for _, it := range p.b {
		if inB[it] = true; !inA[it] {
			p.onlyB = append(p.onlyB, it.ID)
		}
	}
	for _, it := range p.a {
		if !inB[it] {
			p.onlyA = append(p.onlyA, it.ID)
		}
	}
	p.onlyA, p.onlyB = set(p.onlyA), set(p.onlyB)

	const frameA, frameB = 61_172, 65_640
	alice := newTheirs(newTheirVector(p.a), frameA)
	if _, err := drive[string](alice, newTheirs(newTheirVector(p.b), frameB)); err != nil {
		t.Fatal(err)
	}
	have, need := alice.Found()
	if lost := len(p.onlyA) + len(p.onlyB) - len(set(have)) - len(set(need)); lost != 29 {
		t.Errorf("go-nostr alone loses %d differences, want 29: the pair shows nothing any more", lost)
	}
	for _, accepts := range []int{4096, 60_000, 1 << 20} {
		bridge(t, p, frameA, frameB, negentropy.BridgeOptions{
			A: negentropy.SideOptions{Answers: frameA, Accepts: accepts},
			B: negentropy.SideOptions{Answers: frameB, Accepts: accepts},
		})
		bridge(t, p, frameA, frameB, negentropy.BridgeOptions{})
	}
}

// readItems reads a compressed set of package negentropy's testdata.
func readItems(t *testing.T, name string) []negentropy.Item {
	t.Helper()
	f, err := os.Open("../../pkg/negentropy/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var items []negentropy.Item
	for in := bufio.NewScanner(text); in.Scan(); {
		fields := strings.Split(in.Text(), ",")
		ts, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		id, err := negentropy.ParseID(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, negentropy.Item{Timestamp: ts, ID: id})
	}
	return items
}
