// Package stage holds what the four stages share: the port through which they
// keep state, and the facts about records and links that more than one of them
// writes.
//
// A stage is a folder below: decide*.go are pure functions from state, input
// and time to effects; the other files are the handler that carries the
// effects out through ports, which are the interfaces that the handler needs.
// Stages never import an edge; internal/run puts the two together.
package stage
