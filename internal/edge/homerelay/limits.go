package homerelay

import (
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What a client may take up. Beyond a limit on work in progress it is not read
// on; beyond one on what it keeps open, its request is refused.
const (
	// maxMessage is the largest client message: an event of the size that
	// relaymesh handles, and its envelope.
	maxMessage = nostr.MaxEventBytes + 4<<10

	// Connections. Those with an Origin are a browser's, and a page can open
	// hundreds: they never take the pipeline's connections.
	maxClients    = 256
	maxWebClients = 128

	// Of one connection.
	maxIDLength      = 64 // of a subscription or session id; NIP-01
	maxFilters       = 64 // of one request
	maxSubscriptions = 64
	maxHeld          = 2 * maxMessage // bytes of the REQs that are open
	maxQuerying      = 4              // REQs that read the store
	maxPublishing    = 128            // EVENTs on their way into the store
	maxSessions      = 16             // NIP-77
	outLength        = 8              // messages to be written
	feedLength       = 4096           // live events that the client may lag behind,
	feedBytes        = 16 << 20       // and what they take

	// Of all connections together.
	maxInserting     = 256 // EVENTs on their way into the store
	maxSessionsInAll = 512
	maxBuilding      = 2         // sets that are read for a session
	maxRecords       = 1_000_000 // of one session; strfry's default
	maxRecordsInAll  = 4_000_000 // of all open sets, 72 bytes each

	// frameLimit is of our negentropy messages before hex: every relay and
	// client takes 128 KiB. maxSessionMessages is far above what sets of maxRecords need.
	frameLimit         = 60_000
	maxSessionMessages = 20_000

	readHeaderTimeout = 5 * time.Second
	writeTimeout      = 30 * time.Second
	pingInterval      = 30 * time.Second // relays and proxies close after 60 s of silence
	pongTimeout       = 60 * time.Second
	sessionTimeout    = 60 * time.Second // of a session without a message
	authWindow        = 600              // seconds that an AUTH may be off; NIP-42
)
