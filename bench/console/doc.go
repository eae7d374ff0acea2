//go:build linux

// Command console measures the first page of the console over a pipeline that knows
// 100,000 users with a record each, 10,000 relays and a million links: the time that the
// console takes for it and its size; how long it counts all once; and the CPU that the NATS
// server, a process of its own, takes for one browser, beside none. That CPU is what the kernel
// counts for the process, so it holds on a machine that does other work, too; times do not.
package main
