// Package index finds the lists of any npub by Mainline alone: it finds list indexes (relays that keep everybody's lists),
// asks a few of them, and judges the answers. What an index is, and how it is found, docs/spec/list-index.md says.
//
// Nothing that anybody says is believed: an address that DHT nodes name counts when it shows that it is an index, an index
// by what it has delivered, a list by its author's signature. Who is asked, and whose answer counts, is decided in
// decide*.go; [Resolver] and [Announcer] do it over their ports.
package index
