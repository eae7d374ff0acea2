package nostr

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The buffer that is kept for hashing is nobody else's meanwhile, and a large one is not kept.
func TestManyHashAtOnce(t *testing.T) {
	var running sync.WaitGroup
	for i := range 16 {
		e := Event{PubKey: strings.Repeat("a", 64), Content: strings.Repeat(strconv.Itoa(i), 100*i)}
		running.Go(func() {
			want := sha256.Sum256(e.appendHashed(nil))
			for range 200 {
				if got := e.Hash(); got != hex.EncodeToString(want[:]) {
					t.Errorf("event %d hashes to %s, want %x", i, got, want)
				}
			}
		})
	}
	running.Wait()
	large := Event{Content: strings.Repeat("x", 4*maxBuffer)}
	large.Hash()
	if kept := buffers.Get().(*[]byte); cap(*kept) > maxBuffer {
		t.Errorf("%d bytes are kept", cap(*kept))
	}
	small := Event{PubKey: strings.Repeat("a", 64), Content: "a note"}
	if n := testing.AllocsPerRun(100, func() { small.hash() }); n >= 1 {
		t.Errorf("%v allocations for an id", n)
	}
}
