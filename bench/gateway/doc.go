//go:build linux

// Command gateway measures what the gateway costs: a khatru relay, or the one that
// STRFRY names, directly and through the gateway in one run, each a process of its
// own, all without compression.
//
// The mix is 20 % EVENT, 70 % REQ of 20 events and 10 % NEG sessions. Rounds of both
// ways take turns. CPU is what the kernel counts for the processes of the relay and
// the gateway, so it holds on a machine that does other work, too; rates and times
// do not.
package main
