// Command ingest measures the first stage: how fast signatures are verified,
// beside go-nostr in Go and with libsecp256k1, and what the ingest process
// does per second of one core, with a NATS server in a process of its own.
//
// The events are the 532 real ones of go-nostr's test data, again and again,
// each time signed anew by a key that stands for its author. It prints one line
// for each goal and exits with 1 if one is missed. Rates are per second of CPU
// time, that of the kernel included.
package main
