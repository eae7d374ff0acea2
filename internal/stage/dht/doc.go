// Package dht is the second stage: it puts signed relay lists on the Mainline
// DHT (BEP 44), keeps them alive there, and looks up other people's.
//
// A record goes out exactly as its owner signed it. What counts as success is
// what nodes give back, never what they acknowledge.
package dht
