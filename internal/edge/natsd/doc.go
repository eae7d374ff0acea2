// Package natsd runs a NATS server with JetStream inside this process, for the
// single-machine form of relaymesh and for tests.
//
// The data directory belongs to one server at a time, which a file lock
// ensures: the NATS server itself would start a second time on the same
// directory and corrupt it. What was acknowledged survives the death of the
// process at once, and a crash of the machine after [Config.SyncInterval].
package natsd
