//go:build linux

// Command scale measures what so many authors take, each of whom has published a list
// of relays: KV, memory, events a second and the time of a restart; and how ingest's CPU
// for an event changes when several replicas share the work.
//
//	go run ./bench/scale -authors 10000,100000
package main
