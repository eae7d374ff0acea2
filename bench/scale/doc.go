//go:build linux

// Command scale measures what so many authors take, each of whom has published a list
// of relays: KV, memory, events a second, the time of a restart and of the console's pages;
// and how the CPU for a job changes when several replicas of each stage, processes of their
// own, share the work: events, look-ups on a DHT, notes and syncs of relays, all on loopback.
//
//	go run ./bench/scale -authors 10000,100000
package main
