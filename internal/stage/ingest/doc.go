// Package ingest is the first stage: it takes what relays publish, believes
// nothing of it, writes the facts that it proves to KV, and wakes the other
// stages up.
//
// KV is written before the wake-up is published, so that a wake-up which is
// replaced by a newer one loses nothing.
package ingest
