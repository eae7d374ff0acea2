// Package kv reads and writes the state of relaymesh: typed views of JetStream
// KV buckets whose every write is a compare-and-set, so that two workers on
// the same key never undo each other.
package kv
