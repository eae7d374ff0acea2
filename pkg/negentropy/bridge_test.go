package negentropy

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// found is what a bridge reported.
type found struct{ onlyA, onlyB []ID }

func (f *found) options() BridgeOptions {
	return BridgeOptions{
		OnlyA: func(id ID) { f.onlyA = append(f.onlyA, id) },
		OnlyB: func(id ID) { f.onlyB = append(f.onlyB, id) },
	}
}

// responder answers a message; its error ends the test.
type responder func(msg []byte) ([]byte, error)

// carry moves messages between a bridge and two responders until nothing is left.
func carry(t testingT, b *Bridge, a, z responder) error {
	t.Helper()
	for moved := true; moved; {
		moved = false
		for s, answer := range []responder{a, z} {
			msg, ok := b.Next(Side(s))
			if !ok {
				continue
			}
			if moved = true; b.Messages(Side(s)) > 100_000 {
				t.Fatal("no end in sight")
			}
			reply, err := answer(msg)
			if err != nil {
				t.Fatalf("side %s: %v", Side(s), err)
			}
			if err := b.Feed(Side(s), reply); err != nil {
				return err
			}
		}
	}
	return b.Err()
}

// serve makes a responder of a set, which checks what it is sent.
func serve(t testingT, items []Item, frame, accepts int) responder {
	return serveWith(t, items, Options{FrameLimit: frame}, accepts)
}

func serveWith(t testingT, items []Item, opts Options, accepts int) responder {
	r := NewReconciler(NewVector(slices.Clone(items)), opts)
	return func(msg []byte) ([]byte, error) {
		if len(msg) > accepts {
			t.Errorf("message of %d bytes to a peer that takes %d", len(msg), accepts)
		}
		return r.Respond(msg)
	}
}

func checkFound(t testingT, f *found, a, b []Item) {
	t.Helper()
	if want := wantDifference(a, b); len(f.onlyA) != len(want) || !slices.Equal(sortedSet(f.onlyA), want) {
		t.Errorf("only A: %d ids reported, want %d", len(f.onlyA), len(want))
	}
	if want := wantDifference(b, a); len(f.onlyB) != len(want) || !slices.Equal(sortedSet(f.onlyB), want) {
		t.Errorf("only B: %d ids reported, want %d", len(f.onlyB), len(want))
	}
}

func checkBridge(t testingT, a, b []Item, sa, sb SideOptions, peers Options) *Bridge {
	t.Helper()
	var f found
	opts := f.options()
	opts.A, opts.B = sa, sb
	bridge := NewBridge(opts)
	peerA, peerB := peers, peers
	peerA.FrameLimit, peerB.FrameLimit, peerB.Whole = sa.Answers, sb.Answers, sb.Whole
	err := carry(t, bridge, serveWith(t, a, peerA, messageLimit(sa.Accepts)), serveWith(t, b, peerB, messageLimit(sb.Accepts)))
	if err != nil {
		t.Fatal(err)
	}
	if !bridge.Done() {
		t.Fatal("nothing to send, but not done")
	}
	checkFound(t, &f, a, b)
	if differ := len(f.onlyA)+len(f.onlyB) > 0; bridge.Proved() == differ {
		t.Errorf("proved = %v after %d differences", bridge.Proved(), len(f.onlyA)+len(f.onlyB))
	}
	floor, ok := bridge.Floor()
	for _, set := range [][]Item{a, b} {
		if ok && !slices.ContainsFunc(set, func(i Item) bool { return i.Timestamp <= floor }) {
			t.Errorf("floor %d: a side holds nothing that old", floor)
		}
	}
	return bridge
}

// Peers that lose differences when their answer overflows cannot lose them to a
// bridge: it drops the fingerprint in question and asks again.
func TestBridgeToPeersThatLoseDifferences(t *testing.T) {
	a, b := readItems(t, "testdata/loss-a.txt.gz"), readItems(t, "testdata/loss-b.txt.gz")
	for _, answers := range [][2]int{{61_172, 65_640}, {65_640, 61_172}, {4096, 4096}, {4096, 60_000}} {
		for _, accepts := range []int{4096, 60_000, 1 << 20} {
			sideA, sideB := SideOptions{Answers: answers[0], Accepts: accepts}, SideOptions{Answers: answers[1]}
			checkBridge(t, a, b, sideA, sideB, Options{ReferenceOverflow: true})
		}
	}
}

func TestBridgeFindsEveryDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSets(t, 3000)
		peers := rapid.SampledFrom([]Options{{}, {ReferenceOverflow: true}, {Whole: true}}).Draw(t, "peers")
		frame := rapid.OneOf(rapid.Just(0), rapid.Just(MinFrameLimit), rapid.IntRange(MinFrameLimit, 70_000))
		side := rapid.Custom(func(t *rapid.T) SideOptions {
			return SideOptions{Answers: frame.Draw(t, "answers"), Accepts: frame.Draw(t, "accepts")}
		})
		sideA, sideB := side.Draw(t, "A"), side.Draw(t, "B")
		sideA.Whole = peers.Whole
		switch rapid.IntRange(0, 3).Draw(t, "local") {
		case 0:
			sideA.Store = NewVector(slices.Clone(a))
		case 1:
			sideB.Store = NewVector(slices.Clone(b))
		}
		checkBridge(t, a, b, sideA, sideB, peers)
	})
}

// After the transfers, one more pass proves that nothing is left, in at most two
// messages a side.
func TestBridgeProves(t *testing.T) {
	a, b := randomItems(3000, 1), randomItems(10, 2)
	var f found
	bridge := NewBridge(f.options())
	if err := carry(t, bridge, serve(t, a, 0, 1<<20), serve(t, b, 0, 1<<20)); err != nil {
		t.Fatal(err)
	}
	checkFound(t, &f, a, b)
	if !bridge.Done() || bridge.Proved() {
		t.Errorf("done: %v, proved: %v; want a pass without proof", bridge.Done(), bridge.Proved())
	}
	before := bridge.Messages(SideA) + bridge.Messages(SideB)
	both := append(slices.Clone(a), b...)
	bridge.Restart()
	if bridge.Done() || bridge.Proved() {
		t.Error("a pass is proved before it is run")
	}
	if err := carry(t, bridge, serve(t, both, 0, 1<<20), serve(t, both, 0, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if n := bridge.Messages(SideA) + bridge.Messages(SideB) - before; n != 3 || !bridge.Proved() {
		t.Errorf("proved: %v after %d messages, want 3: A is asked, B is asked what A answers, A what B has beyond the frontier", bridge.Proved(),
			n)
	}
}

// The floor of large sets is near their end: little is left to be looked at below.
func TestBridgeFloor(t *testing.T) {
	common := randomItems(10_000, 1)
	slices.SortFunc(common, Item.Compare)
	for name, sets := range map[string][2][]Item{
		"equal":           {common, common},
		"newer on one":    {common, common[:9990]},
		"many on another": {common[:9000], append(randomItems(900, 2), common...)},
	} {
		bridge := checkBridge(t, sets[0], sets[1], SideOptions{}, SideOptions{}, Options{})
		floor, ok := bridge.Floor()
		below := slices.IndexFunc(common, func(i Item) bool { return i.Timestamp > floor })
		if !ok || below < 1 || below > len(common)/15 {
			t.Errorf("%s: %d of %d items are at or below the floor", name, below, len(common))
		}
	}
}

// The floor is that of the session that has shown the least, and nothing is known
// until a new one has shown something.
func TestBridgeFloorOverSessions(t *testing.T) {
	items := randomItems(1000, 1)
	slices.SortFunc(items, Item.Compare)
	bridge := checkBridge(t, items, items[:990], SideOptions{}, SideOptions{}, Options{})
	before, _ := bridge.Floor()
	bridge.Reopened(SideB)
	if floor, ok := bridge.Floor(); ok {
		t.Errorf("the new session has shown nothing, and the floor is %d", floor)
	}
	for _, shown := range []uint64{before - 1, before + 1} {
		bridge.shown[SideB] = shown
		if floor, ok := bridge.Floor(); !ok || floor != max(before, shown) {
			t.Errorf("one session has shown what is above %d, the next above %d: %d, %v", before, shown, floor, ok)
		}
	}
}

func TestBridgeCaps(t *testing.T) {
	a, b := randomItems(1000, 1), randomItems(1000, 2)
	for name, opts := range map[string]BridgeOptions{
		"messages":    {MaxMessages: 3},
		"differences": {MaxDifferences: 100},
	} {
		var f found
		with := f.options()
		with.MaxMessages, with.MaxDifferences = opts.MaxMessages, opts.MaxDifferences
		err := carry(t, NewBridge(with), serve(t, a, 0, 1<<20), serve(t, b, 0, 1<<20))
		if !errors.Is(err, ErrLimit) {
			t.Errorf("%s: error %v, want ErrLimit", name, err)
		}
		if n := len(f.onlyA) + len(f.onlyB); over(n, opts.MaxDifferences) {
			t.Errorf("%d differences reported", n)
		}
	}
}
