// Package console is the live page for operators: the pipeline, the relays,
// the records and the dead letters as NATS knows them, in HTML, and in JSON
// for those who ask for it (Accept: application/json).
//
// Every figure is read from JetStream, so that any number of consoles tell the
// same; what is counted over whole buckets is kept from what was written since,
// see [Console.Run]. No page reads a whole bucket or
// stream: lists are pages of bounded length, in the order in which JetStream
// stores what they show.
//
// Everybody who reaches it may look. To retry or drop a dead letter takes the
// operator's token, and without one there is no way to.
package console
