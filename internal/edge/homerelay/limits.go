package homerelay

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What a client may take up. Beyond a limit on work in progress it is not read
// on; beyond one on what it keeps open, its request is refused.
const (
	// maxMessage is the largest client message, inflated: an event of the size
	// that relaymesh handles, and its envelope.
	maxMessage = nostr.MaxEventBytes + 4<<10
	// compressed is the size from which our messages are compressed.
	compressed = 256

	// Of one connection.
	maxIDLength      = 64     // of a subscription or session id; NIP-01
	maxFilters       = 64     // of one request
	maxValues        = 10_000 // likewise, of all lists: each costs a place in the matcher and a cursor
	maxSubscriptions = 64
	maxHeld          = 2 * maxMessage // bytes of the REQs that are open
	maxQuerying      = 4              // REQs that read the store
	maxPublishing    = 128            // EVENTs on their way into the store
	maxSessions      = 16             // NIP-77
	outLength        = 8              // messages to be written
	feedLength       = 4096           // live events that the client may lag behind
	firstRead        = 512            // bytes for a message, doubled as it comes

	// Of all connections together.
	minWork     = 256       // bytes that the least work counts for
	verifying   = 32 << 10  // likewise a signature
	feedBytes   = 8 << 20   // texts of live events
	maxBuilding = 2         // sets that are read for a session
	maxRecords  = 1_000_000 // of one session; strfry's default

	// frameLimit is of our negentropy messages before hex: every relay and
	// client takes 128 KiB. maxSessionMessages is far above what sets of maxRecords need.
	frameLimit         = 60_000
	maxSessionMessages = 20_000

	readHeaderTimeout = 5 * time.Second
	messageTimeout    = 60 * time.Second // from a message's begin to its end
	writeTimeout      = 30 * time.Second
	pingInterval      = 30 * time.Second // relays and proxies close after 60 s of silence
	pongTimeout       = 60 * time.Second
	sessionTimeout    = 60 * time.Second // of a session without a message
	authWindow        = 600              // seconds that an AUTH may be off; NIP-42
)

// shares bounds what clients take up together. A party is an IPv4 address or an
// IPv6 /64, its web pages and its other programs each; a network is a /24 or /48.
var shares = [resources]share{
	connections:   {all: 12_000, network: 8 * maxConnections, party: maxConnections, connection: 1},
	subscriptions: {all: 48_000, network: 4096, party: 512, connection: maxSubscriptions},
	sessions:      {all: 512, network: 128, party: 32, connection: maxSessions},
	records:       {all: maxRecords, network: maxRecords, party: maxRecords, connection: maxRecords}, // 44 bytes each
	heldBytes:     {all: 24 << 20, network: 20 << 20, party: 16 << 20, connection: 12 << 20},
}

// maxConnections is of one party.
const maxConnections = 128

// Connections that have not asked yet, or are told why they are not let in: of one address, and one for so many clients in all.
const (
	unaskedOfAddress = 64
	unaskedInAll     = 12
)

// sharesWithin are the shares of a process that may have so many files open, of which a quarter is left to all else.
// Where that is fewer than the relay would take, it is said once.
func sharesWithin(files int, log *slog.Logger) [resources]share {
	within := shares
	if most := files / 4 * 3; most < within[connections].all {
		within[connections].all = most
		log.Warn("the embedded relay takes fewer clients, since the process may have few files open (LimitNOFILE, ulimit -Hn)",
			"notice", fmt.Sprintf("%d clients of %d open files", most, files))
	}
	return within
}
