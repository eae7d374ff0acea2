// Package console is the live page for operators: the pipeline, the relays,
// the records and the dead letters as NATS knows them, in HTML, and in JSON
// for those who ask for it (Accept: application/json).
//
// It keeps nothing: every figure is read from JetStream when it is shown, so
// that any number of consoles tell the same. No page reads a whole bucket or
// stream: lists are pages of bounded length, in the order in which JetStream
// stores what they show.
//
// Everybody who reaches it may look. To retry or drop a dead letter takes the
// operator's token, and without one there is no way to.
package console
