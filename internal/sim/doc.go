// Package sim holds the tests of the stages as they run: handler, bus and KV
// over the real NATS server, in fake time, where a day of schedules, retries
// and outages passes in seconds. Only the outside world is scripted, behind
// the ports of the stages: the DHT, the relays and the local relay.
package sim
