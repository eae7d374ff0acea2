// Package hosts counts what strangers can cause by the host and the network that
// it falls on. Keys, URLs, paths and subdomains cost nothing to make; hosts and
// addresses do. A [Budget] bounds connections and dials, [Slots] a worker's time,
// and both go by the same names of hosts ([Of]).
package hosts
