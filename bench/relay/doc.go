// Command relay measures how fast the embedded relay takes new events of one client, with
// 200 in flight and one after the other, and the CPU that it takes for each. With STRFRY
// naming a binary of strfry, that is measured in turn; without, a bare relay stands in: it
// verifies one signature after the other, appends what has come to a file, has that
// written durably, twice as databases do, and says OK. It has no index and answers no
// question, so half of its pace is wanted one after the other.
//
// Each relay is a process of its own, which gets the same events, signed beforehand by
// sixteen authors. CPU is what the kernel counts for that process. It prints a line for each
// goal and exits with 1 if one is missed.
package main
