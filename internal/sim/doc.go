// Package sim holds the tests of the stages as they run: handler, bus and KV
// over the real NATS server, in fake time, where a day of schedules, retries
// and outages passes in seconds. Only the outside world is scripted, behind
// the ports of the stages: the DHT, the relays and the local relay.
//
// TestSeeds runs whole pipelines in random worlds while everything goes wrong
// that can, and holds what is promised against the world afterwards; see
// docs/reliability.md. What goes wrong where is drawn from the seed by name
// (faultInjector), what happens in the world is drawn before it begins
// (scenario).
package sim
