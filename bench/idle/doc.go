//go:build linux

// Command idle measures what relaymesh up takes while nothing happens, beside the same
// process without stages: NATS, the embedded relay and the runtime.
//
//	go run ./bench/idle [-for 30s]
package main
