// Command chaos runs the pipeline as operators scale it, a process for
// everything, breaks one thing after the other under load, and checks that
// nothing that was accepted is lost or has its effect twice.
//
// Three NATS nodes keep every stream and bucket three times; two hosts run one
// of each worker; a home relay, three others and a DHT of a hundred nodes stand
// around them. Each host is a network namespace of its own, on a bridge in the
// namespace of this program, and each directory a small file system in memory.
// All of that belongs to one process namespace: it is gone when this program
// is, however it ends. Where something of it is refused or missing, everything
// runs on loopback addresses, and the faults that need it are left out, loudly.
//
// A user signs lists and writes notes and replies (load.go); the schedule
// (schedule.go) is a function of its seed; what was accepted is kept in a
// ledger and looked for where it must arrive (ledger.go, watch.go, check.go).
package main
