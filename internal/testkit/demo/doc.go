// Package demo builds a small world on loopback out of real parts (an embedded
// NATS server, a DHT, Nostr relays with signed events, the whole pipeline in a
// process of its own) and shows in it, step by step, what relaymesh promises.
// Every step compares what is there with what must be there.
package demo
