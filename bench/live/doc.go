// Command live measures how much later a subscriber at the local relay hears of an
// event than one at the relay where it was published, which relaymesh up follows live.
// Both relays are the embedded one, each in a process of its own. With STRFRY naming a
// binary of strfry, a relay of it follows the same one after that, by strfry router.
//
//	go run ./bench/live [-n 500]
package main
