// Package dnstest holds what every edge that dials is tested with: the
// addresses that strangers must not make us reach, in all their spellings, and a
// DNS server on loopback whose names change their minds.
package dnstest
