// Package p2p speaks /negentropy/1.0.0 over libp2p, the protocol in which
// HORNETS relays sync with each other: negentropy v1 (NIP-77) in lines of JSON,
// with events and ids in the same stream.
//
// # The protocol
//
// A message is one line, a JSON array of strings. The session is always "N".
//
//	message                                       from        answer
//	["NEG-OPEN","N","<filter>","32","<hex>"]      initiator   NEG-MSG
//	["NEG-MSG","N","<hex>"]                       both        NEG-MSG
//	["NEG-HAVE","N","<array of events>"]          both        none
//	["NEG-NEED","N","<array of ids>"]             initiator   one NEG-HAVE
//	["NEG-ERR","N","<reason>"]                    responder   the stream ends
//	["NEG-CLOSE","N"]                             initiator   the stream ends
//
// Filter and arrays are JSON as text within the JSON of the line. Only the
// initiator learns what differs: it uploads by NEG-HAVE and downloads by
// NEG-NEED. Nothing confirms an upload. A [Peer] therefore asks for the last
// event of each upload: a responder works through its messages in their order,
// so that the answer says that all of them were taken. That they were all kept
// is for a further comparison to prove.
//
// # Trust
//
// Events are parsed and verified, id and signature, before anyone sees them;
// lists are read element by element, so that a line may be as long as it likes
// and holds no memory; ids, messages and filters are bounded; a peer that
// breaks the protocol, drips, or sends mostly what is bad is dropped with the
// reason. Addresses in private networks are not dialled, whoever names them.
//
// # The node
//
// A [Host] is a libp2p swarm with QUIC v1, and TCP with Noise or TLS and yamux.
// It is nothing more: no identify, relays, hole punching, discovery or address
// book, which peers need not have and which would be more to defend.
package p2p
