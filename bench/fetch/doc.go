// Command fetch measures how long a missing note takes to be found.
//
// Twenty relays run in a process of their own: each note is at one of fifteen
// khatru relays, two more hang (one in the handshake, one after it) and three
// refuse (no listener, no websocket, no filter). relaymesh up runs in another
// process. Its fetch service is given all twenty as hints in random order;
// beside it go-nostr asks the right relay on an open connection. Then notes are
// named by their ids alone: to the service, and by REQs to the gateway.
package main
