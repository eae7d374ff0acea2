// Command all makes the targets that it is given, one after the other, shows what they
// print, and ends with one table of all goals: what was measured beside what is wanted.
// It fails if a goal is missed, or a target ends otherwise.
//
//	go run ./bench/all bench-ingest bench-live
package main
