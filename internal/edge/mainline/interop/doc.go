// Package interop checks that relaymesh's DHT node, npm's bittorrent-dht and libtorrent store, publish and read each
// other's items, announce and find each other's peers, and that a second implementation of list indexes and ours resolve
// through each other's, on loopback. It needs npm's packages and libtorrent installed:
//
//	./install.sh /some/dir
//	MAINLINE_INTEROP=/some/dir go test ./internal/edge/mainline/interop
package interop
