package dht

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Network is the DHT. Its methods verify whatever they return and are bounded
// in time by themselves. Errors are worth a retry.
type Network interface {
	// Put stores the item among the nodes closest to its target as how says, and
	// never over a valid item of a higher seq. last are nodes that it was put to
	// before, and may be empty.
	Put(ctx context.Context, item bep44.Item, last []Node, how How) (Found, error)
	// Get returns the valid item of the highest seq; found is false if nodes
	// near the target answered and none had one.
	Get(ctx context.Context, key [32]byte, salt []byte) (item bep44.Item, holders int, found bool, err error)
}

// Lists are list indexes, which keep the relay lists of everybody.
type Lists interface {
	// Resolve returns the newest relay list of an author that a few indexes have. An error means that none was reached, or
	// that too much is looked up at the moment.
	Resolve(ctx context.Context, pubkey string) (FoundList, error)
}

// FoundList is what list indexes have of an author.
type FoundList struct {
	Event *nostr.Event // kind 10002, verified; nil if none has one
	Asked []string     // URLs of those that were asked
	Why   string       // why there is none
}

// Node is a DHT node: its id, IPv4 address and port as BEP 5 writes them, in
// network order.
type Node [26]byte

// Found is what a put found and did.
type Found struct {
	Had       []Node      // of the closest nodes those that held the item before
	Got       []Node      // those that hold it by this put
	Closest   []Node      // the closest nodes that answer, nearest first; perhaps some more than are to hold it
	Newer     *bep44.Item // a valid item of a higher seq; then nothing was put
	Equivocal bool        // some nodes hold another value of the same seq
	// SharedBits is how many leading bits the nodes nearest to the target share
	// with it, where that is no chance; else 0.
	SharedBits int
}

// Witness is what another dhtworker finds under a DHT key. From is the address that
// DHT nodes see it at, which is none of ours, or "" if there is no such worker.
type Witness struct {
	From    string
	Holders int
	Seq     int64
}

// placement is how an item stands on the network.
type placement struct {
	Holders   int         // nodes that gave it back
	Nodes     []byte      // the closest nodes, holders first; see contract.Record
	Held      int         // how many of Nodes are holders
	Newer     *bep44.Item // see Found
	Equivocal bool        // see Found
	Warning   string      // what speaks against the holders

	// Kept and Forgot count the holders before, without those that a Half put
	// renewed, which still answer among the closest: with the item, without it.
	Kept, Forgot int
}

// Stage is the handlers of dhtworker and their ports. All fields are set
// before a handler is called; handlers may run many times at once.
type Stage struct {
	Authors stage.Store[contract.Author]
	Records stage.Store[contract.Record]
	Relays  stage.Store[contract.Relay]
	Links   stage.Store[contract.Link]
	Network Network

	// Lists is asked for authors whose list nothing else leads to; nil: nobody is.
	Lists Lists
	// Denied is what the operator denies: records of denied keys are not put, and
	// no list is read under them; denied hosts are not announced. It may be nil.
	Denied *deny.Lists
	// Probe fetches a relay's NIP-11 document and returns what it says.
	Probe func(ctx context.Context, url string) (contract.Relay, error)
	// Witness has a dhtworker at another address look a key up. It may be nil.
	Witness func(ctx context.Context, dhtKey string) (Witness, error)
	// From is the address under which DHT nodes see this process, or "". It may be
	// nil.
	From func() string
	// Publish sends outcomes of a long job while it still runs.
	Publish func(ctx context.Context, out ...contract.Output) error

	AllowPrivate bool
	RefreshEvery time.Duration // how often a record is refreshed where nodes keep it; see decideHow
	ResolveEvery time.Duration // how often an author's list is looked up
	Now          func() time.Time
	Log          *slog.Logger

	puts, lookUps, probes hosts.Slots
	families              stage.Families
	asking                atomic.Bool // a witness is being asked
}
