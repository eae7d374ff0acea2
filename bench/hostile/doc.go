//go:build linux

// Command hostile measures what honest users of relaymesh notice of an attack:
// each attack beside an honest user, real processes, one run. It prints a line
// for each goal and exits with 1 if one is missed.
//
//	go run ./bench/hostile relay pipeline
//	go run ./bench/hostile floods
//
// relay is the embedded relay, in a process of its own, under ten thousand
// connections of a thousand addresses of loopback, a tenth of them hostile.
// pipeline is relaymesh up, whose relay takes lists of fresh keys and notes with
// made-up references, all of which lead to ten silent hosts. floods is the same
// five times with other keys, and what is left of it in memory.
package main
