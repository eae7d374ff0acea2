package negentropy

import (
	"bytes"
	"slices"
	"testing"
)

// seedMessages adds honest messages, whole and cut, and the hostile ones.
func seedMessages(f *testing.F) {
	alice := NewReconciler(NewVector(randomItems(300, 1)), Options{})
	bob := NewReconciler(NewVector(randomItems(300, 2)), Options{FrameLimit: MinFrameLimit})
	msg := alice.Initiate()
	for range 3 {
		f.Add(bytes.Clone(msg))
		f.Add(bytes.Clone(msg[:len(msg)/2]))
		answer, err := bob.Respond(msg)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(answer))
		if msg, _, err = alice.Reconcile(answer); err != nil {
			f.Fatal(err)
		}
	}
	for _, m := range hostileMessages {
		f.Add(unhex(f, m.hex))
	}
}

// What decodes is encoded again to a message that says the same.
func FuzzDecode(f *testing.F) {
	seedMessages(f)
	decode := func(msg []byte) (all []statement, err error) {
		for in := (reader{buf: msg}); in.more(); {
			said, err := in.statement()
			if err != nil {
				return nil, err
			}
			all = append(all, said)
		}
		return all, nil
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		said, err := decode(msg)
		if err != nil {
			return
		}
		var w writer
		w.reset()
		for i := range said {
			w.statement(&said[i])
		}
		again, err := decode(w.buf[1:])
		if err != nil || len(again) != len(said) || len(w.buf)-1 > len(msg) {
			t.Fatalf("%x is encoded as %x: %d ranges instead of %d, %v", msg, w.buf[1:], len(again), len(said), err)
		}
		for i := range said {
			a, b := said[i], again[i]
			if a.upper != b.upper || a.mode != b.mode || a.fingerprint != b.fingerprint || !bytes.Equal(a.ids, b.ids) {
				t.Fatalf("range %d of %x is %+v, then %+v", i, msg, a, b)
			}
		}
	})
}

// Whatever comes in, what goes out is a valid message within the frame limit.
func FuzzReconcile(f *testing.F) {
	seedMessages(f)
	store := NewVector(append(randomItems(500, 1), randomItems(100, 2)...))
	valid := func(t *testing.T, msg []byte) {
		if len(msg) > MinFrameLimit {
			t.Fatalf("message of %d bytes", len(msg))
		}
		for in := (reader{buf: msg[1:]}); in.more(); {
			if _, err := in.statement(); err != nil {
				t.Fatalf("message %x: %v", msg, err)
			}
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		opts := Options{FrameLimit: MinFrameLimit}
		if answer, err := NewReconciler(store, opts).Respond(msg); err == nil {
			valid(t, answer)
		}
		reported := 0
		opts.Have = func(ID) { reported++ }
		opts.Need = func(ID) { reported++ }
		if next, done, err := NewReconciler(store, opts).Reconcile(msg); err == nil && !done {
			valid(t, next)
		}
		if reported > store.Len()+len(msg)/idSize {
			t.Fatalf("%d ids reported", reported)
		}
	})
}

// The input is what a hostile peer answers, message by message, to a bridge whose
// other side is honest.
func FuzzBridge(f *testing.F) {
	honest := randomItems(200, 1)
	alice := NewReconciler(NewVector(append(randomItems(50, 2), honest...)), Options{})
	b := NewBridge(BridgeOptions{B: SideOptions{Store: NewVector(slices.Clone(honest))}})
	var transcript []byte
	for {
		msg, ok := b.Next(SideA)
		if !ok {
			break
		}
		answer, err := alice.Respond(msg)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(answer))
		transcript = append(append(transcript, answer...), 0xfe)
		if err := b.Feed(SideA, answer); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(transcript)
	for _, m := range hostileMessages {
		f.Add(unhex(f, m.hex))
	}
	store := NewVector(honest)
	f.Fuzz(func(t *testing.T, answers []byte) {
		found := 0
		count := func(ID) { found++ }
		b := NewBridge(BridgeOptions{B: SideOptions{Store: store}, OnlyA: count, OnlyB: count, MaxMessages: 1000})
		for _, answer := range bytes.Split(answers, []byte{0xfe}) {
			msg, ok := b.Next(SideA)
			if !ok {
				break
			}
			if len(msg) > DefaultMessageLimit {
				t.Fatalf("message of %d bytes", len(msg))
			}
			if err := b.Feed(SideA, answer); err != nil {
				break
			}
		}
		if found > store.Len()+len(answers)/idSize {
			t.Fatalf("%d differences found", found)
		}
		if b.Done() && b.Err() != nil {
			t.Fatal("done, with an error")
		}
	})
}
