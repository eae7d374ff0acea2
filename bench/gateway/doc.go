//go:build linux

// Command gateway measures what the gateway costs: a khatru relay, or a strfry whose
// binary STRFRY names, directly and through the gateway in one run, each a process of
// its own, all without compression.
//
// The mix is 20 % EVENT, 70 % REQ of 20 events and 10 % NEG sessions. Rounds of both
// ways take turns. CPU is what the kernel counts for the processes of the relay and
// the gateway, so it holds on a machine that does other work, too. Rates and times
// hold if the benchmark goes before that work:
//
//	chrt --rr 6 bench/gateway & sleep 1; chrt --all-tasks --rr --pid 5 $!
//
// where the second command has relay and gateway go before the clients, as if those
// were elsewhere.
package main
