// Command recall measures how much of what authors wrote comes to a relay that stands
// beside relaymesh, in a world of real websocket relays on loopback that a seed draws from
// published figures: lists that name dead relays, authors without a list, relays that
// forget, refuse, lie, or that no list names. It prints a line for each goal and
// exits with 1 if one is missed.
//
//	go run ./bench/recall -seed 1          # 2,000 authors, 600 relays that live and 600 that do not
//	go run ./bench/recall -seed 1 -short   # a tenth of it, some twenty minutes
//	go run ./bench/recall -seed 1 -wide    # a day of 10,000 authors and 1,000 relays; what the worker takes, in a process of its own
//
// Time is driven: the benchmark calls the handlers of ingest and syncing in the order of a
// clock of its own, so that two weeks pass in minutes, while sockets, sessions, signatures
// and bytes are real. Queues are in memory, and so are buckets, but with -wide. What it says nothing of: schedules under load,
// NATS, the DHT and list indexes, which find lists; authors have theirs at the local relay at
// the beginning, if they have one.
//
// What the other ways to choose relays would get is counted in the same world, without
// sockets, as their best: every relay answers them that serves anybody.
package main
