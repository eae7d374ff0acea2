// Package dialguard keeps strangers from making us dial where they want.
//
// Relay lists, NIP-11 documents, libp2p addresses and DHT nodes name hosts that
// we have no reason to trust: the own machine, the operator's network, a cloud's
// metadata service, a mail server. A [Guard] is asked about the address that is
// about to be dialled, after every name was resolved, so that a name cannot lead
// elsewhere between a check and its use (DNS rebinding). All edges dial through
// it: websockets and NIP-11 by [Guard.HTTPClient], libp2p by its connection gater,
// the DHT by the guard of its socket. What is public, pkg/events says
// ([events.PublicAddr], [events.PublicPort]).
package dialguard
