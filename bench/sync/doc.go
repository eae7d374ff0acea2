// Command sync measures `relaymesh sync` between two khatru relays in other
// processes, beside go-nostr's NegentropySync, which has one of the two sets in
// its own process.
//
// With STRFRY naming a binary of strfry, its sync is a third contestant.
//
// It prints one line for each goal and exits with 1 if one is missed. Figures
// are the best of several runs that alternate; bytes are counted on the
// connection to the second relay, by a proxy that everyone goes through.
package main
