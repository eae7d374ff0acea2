package bus

import (
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// sized is a message of so many bytes.
type sized struct {
	jetstream.Msg
	data []byte
}

func (m sized) Data() []byte { return m.data }

func of(bytes int) jetstream.Msg { return sized{data: make([]byte, bytes)} }

// However many messages ingest may have in work, they take no more memory than so many of the largest events: small ones fill
// the slots, large ones leave slots empty. Where nothing is said of that, size does not count.
func TestMessagesTakeRoomByTheirSize(t *testing.T) {
	list := contract.Consumers()
	ingest := list[slices.IndexFunc(list, func(c contract.Consumer) bool { return c.Name == contract.ConsumerIngest })]
	if ingest.Largest == 0 || ingest.Largest >= ingest.InFlight {
		t.Fatalf("%+v", ingest)
	}
	taken := func(c contract.Consumer, bytes int) (n int) {
		for free := roomFor(c); free.fits() > 0; n++ {
			free = free.minus(roomOf(c, of(bytes)))
		}
		return n
	}
	for bytes, want := range map[int]int{1000: ingest.InFlight, nostr.MaxEventBytes: ingest.Largest} {
		if n := taken(ingest, bytes); n != want {
			t.Errorf("%d messages of %d bytes, want %d", n, bytes, want)
		}
	}
	if n := taken(contract.Consumer{InFlight: 16}, 2*nostr.MaxEventBytes); n != 16 {
		t.Errorf("%d of 16 where size does not count", n)
	}
}
