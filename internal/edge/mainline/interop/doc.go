// Package interop checks that relaymesh's DHT node, npm's bittorrent-dht and libtorrent store, publish and read each
// other's items, on loopback. It needs both of them installed:
//
//	./install.sh /some/dir
//	MAINLINE_INTEROP=/some/dir go test ./internal/edge/mainline/interop
package interop
