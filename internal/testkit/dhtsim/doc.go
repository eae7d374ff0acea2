// Package dhtsim is a DHT of up to 16 million nodes in one process, for measurements: each has an address of its own in
// 127.0.0.0/8 and answers real UDP packets. Ids, routing tables and churn are computed, not stored; only put items take
// memory. It runs on Linux only, and only the loopback interface reaches it.
//
// It differs from the real network: replies take no time and none is lost, ids are spread more evenly, and every node
// knows its own neighbourhood completely (but for stale entries). A quarter of all table entries are stale, seven of ten
// nodes bind their tokens to a target, and a node that receives more than 50 messages in 10 seconds from one address
// ignores it for five minutes, as libtorrent does.
package dhtsim
