// Package gateway stands before a relay and lets clients through to it: each has
// a connection of its own to the relay, and every frame passes as it is, both
// ways, control frames and close codes included. So a client meets the relay
// itself, with whatever it speaks.
//
// What passes is read along the way for two purposes. A REQ that names events, by
// id, by address, or as the lists and profiles of authors, is completed: what the
// relay has not sent when it says EOSE is asked for, and sent before EOSE. And an
// EVENT that the relay accepts is heard.
//
// Never worse than the relay alone: whatever of this is too much, too slow or
// away, the messages pass. There are no limits on messages here,
// but on what is held of them.
package gateway
