package negentropy

import (
	"errors"
	"slices"
	"testing"
)

// reword changes what an honest responder answers, range by range, until change
// returns false. As in any answer, a skip at the end is left out.
func reword(honest responder, change func(n int, said *statement) bool) responder {
	return func(msg []byte) ([]byte, error) {
		answer, err := honest(msg)
		if err != nil {
			return nil, err
		}
		var w writer
		w.reset()
		in, last := reader{buf: answer[1:]}, w.mark()
		for n := 0; in.more(); n++ {
			said, err := in.statement()
			if err != nil {
				return nil, err
			}
			if !change(n, &said) {
				break
			}
			if w.statement(&said); said.mode != modeSkip {
				last = w.mark()
			}
		}
		w.rewind(last)
		return w.buf, nil
	}
}

// Peers that answer fewer ranges than asked, each in its own way.
func TestBridgeToPeersThatAnswerLess(t *testing.T) {
	a, b := randomItems(3000, 1), randomItems(1000, 2)
	b = append(b, a[:2500]...)
	stingy := map[string]func(n int, said *statement) bool{
		"stops after 20 ranges": func(n int, _ *statement) bool { return n < 20 },
		"stops after 2 ranges":  func(n int, _ *statement) bool { return n < 2 },
		"closes with a wrong fingerprint": func(n int, said *statement) bool {
			if n == 20 {
				*said = statement{upper: endBound(), mode: modeFingerprint}
			}
			return n <= 20
		},
	}
	for name, change := range stingy {
		t.Run(name, func(t *testing.T) {
			for _, sides := range [][2]bool{{true, false}, {false, true}, {true, true}} {
				var f found
				bridge := NewBridge(f.options())
				servers := [2]responder{serve(t, a, 0, DefaultMessageLimit), serve(t, b, 0, DefaultMessageLimit)}
				for s := range servers {
					if sides[s] {
						servers[s] = reword(servers[s], change)
					}
				}
				if err := carry(t, bridge, servers[0], servers[1]); err != nil || !bridge.Done() {
					t.Fatalf("not done: %v", err)
				}
				checkFound(t, &f, a, b)
			}
		})
	}
}

// A peer may say nothing where its list is the same as the one it was sent.
func TestBridgeToPeerThatSkipsEqualLists(t *testing.T) {
	a := randomItems(500, 1)
	b := append(randomItems(20, 2), a[20:]...)
	quiet := func(items []Item) responder {
		var sent []statement
		answer := reword(serve(t, items, 0, DefaultMessageLimit), func(_ int, said *statement) bool {
			for _, q := range sent {
				if q.mode == modeIDList && said.mode == modeIDList && q.upper == said.upper && slices.Equal(q.ids, said.ids) {
					*said = statement{upper: said.upper, mode: modeSkip}
				}
			}
			return true
		})
		return func(msg []byte) ([]byte, error) {
			sent = nil
			for in := (reader{buf: msg[1:]}); in.more(); {
				said, err := in.statement()
				if err != nil {
					return nil, err
				}
				sent = append(sent, said)
			}
			return answer(msg)
		}
	}
	for _, side := range []Side{SideA, SideB} {
		servers := [2]responder{serve(t, a, 0, DefaultMessageLimit), serve(t, b, 0, DefaultMessageLimit)}
		servers[side] = quiet([2][]Item{a, b}[side])
		var f found
		bridge := NewBridge(f.options())
		if err := carry(t, bridge, servers[0], servers[1]); err != nil || !bridge.Done() {
			t.Fatalf("side %s: not done: %v", side, err)
		}
		checkFound(t, &f, a, b)
	}
}

// lister answers every question with the ids that it holds there, however many.
func lister(items []Item) responder {
	set := newPlain(items)
	return func(msg []byte) ([]byte, error) {
		var w writer
		w.reset()
		for in := (reader{buf: msg[1:]}); in.more(); {
			said, err := in.statement()
			if err != nil {
				return nil, err
			}
			lo, hi := set.Search(0, said.lower.Item), set.Search(0, said.upper.Item)
			if said.mode != modeSkip && (said.mode != modeFingerprint || said.fingerprint != fingerprintOf(set, lo, hi)) {
				said.mode, said.ids = modeIDList, set.AppendIDs(nil, lo, hi)
			} else {
				said.mode = modeSkip
			}
			w.statement(&said)
		}
		return w.buf, nil
	}
}

// A list that is longer than what the other peer accepts is not passed on.
func TestBridgeSplitsLongLists(t *testing.T) {
	a := randomItems(1000, 1)
	b := append(randomItems(50, 2), a[20:]...)
	var f found
	opts := f.options()
	opts.B.Accepts = MinFrameLimit
	bridge := NewBridge(opts)
	if err := carry(t, bridge, lister(a), serve(t, b, 0, MinFrameLimit)); err != nil || !bridge.Done() {
		t.Fatalf("not done: %v", err)
	}
	checkFound(t, &f, a, b)
}

func TestBridgeDetectsNoProgress(t *testing.T) {
	items := randomItems(1000, 1)
	honest := serve(t, items, 0, DefaultMessageLimit)
	for name, peer := range map[string]responder{
		"says nothing": func([]byte) ([]byte, error) { return []byte{version}, nil },
		"only closes": reword(honest, func(n int, said *statement) bool {
			*said = statement{upper: endBound(), mode: modeFingerprint}
			return n == 0
		}),
		"repeats the question": func(msg []byte) ([]byte, error) { return msg, nil },
		"never agrees": reword(honest, func(_ int, said *statement) bool {
			if said.mode == modeFingerprint {
				said.fingerprint[0]++
			} else if said.mode == modeIDList && len(said.ids) > 0 {
				said.mode = modeFingerprint
			}
			return true
		}),
	} {
		t.Run(name, func(t *testing.T) {
			for _, local := range []bool{false, true} {
				opts := BridgeOptions{MaxMessages: 50_000}
				if local {
					opts.B.Store = NewVector(slices.Clone(items[:900]))
				}
				bridge := NewBridge(opts)
				err := carry(t, bridge, peer, serve(t, items[:900], 0, DefaultMessageLimit))
				if !errors.Is(err, ErrNoProgress) || bridge.Done() || bridge.Proved() {
					t.Errorf("local: %v: error %v, done: %v, want ErrNoProgress", local, err, bridge.Done())
				}
			}
		})
	}
}
