package nostr

// The event kinds that relaymesh itself reads, writes or acts on.
const (
	KindDeletion      = 5     // NIP-09
	KindRepost        = 6     // NIP-18: its content is a note
	KindGenericRepost = 16    // NIP-18: its content is any event
	KindVanish        = 62    // NIP-62
	KindGiftWrap      = 1059  // NIP-59
	KindZapReceipt    = 9735  // NIP-57: its description is the request, an event of who pays
	KindRelayList     = 10002 // NIP-65
	KindDHTList       = 11011 // HORNETS: a signed BEP 44 item
	KindAuth          = 22242 // NIP-42: never leaves the connection it was made for
	KindAppData       = 30078 // NIP-78; with r and dht tags a relay list
)
