package interop

import (
	"crypto/ed25519"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

var names = []string{"relaymesh", "bittorrent-dht", "libtorrent"}

func startParties(t *testing.T, dir string) []party {
	t.Helper()
	return []party{
		&ours{},
		startProcess(t, dir, "node", "dht.mjs"),
		startProcess(t, dir, "/usr/bin/python3", "dht.py"),
	}
}

// Every implementation as storage network, and who announces, and who looks peers up (BEP 5).
func TestEveryImplementationFindsWhomEveryOtherAnnounces(t *testing.T) {
	dir := os.Getenv("MAINLINE_INTEROP")
	if dir == "" {
		t.Skip("needs bittorrent-dht and python3-libtorrent: see the package documentation")
	}
	parties := startParties(t, dir)
	for s, storage := range parties {
		bootstrap := storage.network(t, 12)
		var clients []int
		for _, p := range parties {
			clients = append(clients, p.client(t, bootstrap))
		}
		for p, announcer := range parties[:2] { // the Python binding of libtorrent 2.0.8 cannot announce: it has no converter for the flags
			infohash, port := sha1.Sum([]byte(names[s]+names[p])), uint16(4848+p)
			announcer.announce(t, clients[p], infohash, port)
			want := fmt.Sprintf("127.0.0.1:%d", port)
			for r, reader := range parties {
				var found []string
				for end := time.Now().Add(20 * time.Second); !slices.Contains(found, want) && time.Now().Before(end); {
					found = reader.peers(t, clients[r], infohash) // some store behind their acknowledgement
				}
				if !slices.Contains(found, want) {
					t.Errorf("network %s, announced by %s: %s finds %q, want %s", names[s], names[p], names[r], found, want)
				}
			}
		}
	}
}

// Every implementation as storage network, publisher and reader, without and with salt: 54 reads.
func TestEveryImplementationFindsWhatEveryOtherPublishes(t *testing.T) {
	dir := os.Getenv("MAINLINE_INTEROP")
	if dir == "" {
		t.Skip("needs bittorrent-dht and python3-libtorrent: see the package documentation")
	}
	parties := startParties(t, dir)
	for s, storage := range parties {
		bootstrap := storage.network(t, 12)
		var clients []int
		for _, p := range parties {
			clients = append(clients, p.client(t, bootstrap))
		}
		for p, publisher := range parties {
			for _, salt := range []string{"", "nostr"} {
				value := `["wss://` + names[p] + `.example"]`
				seed := sha256.Sum256([]byte(names[s] + names[p] + salt))
				seq := publisher.put(t, clients[p], seed[:], salt, 1732000000, value)
				key := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
				for r, reader := range parties {
					found, gotSeq, got := reader.get(t, clients[r], key, salt)
					if !found || got != value || gotSeq != seq {
						t.Errorf("network %s, publisher %s, salt %q: %s reads %v %d %q, want %d %q",
							names[s], names[p], salt, names[r], found, gotSeq, got, seq, value)
					} else {
						t.Logf("network %s, publisher %s, salt %q: %s reads it", names[s], names[p], salt, names[r])
					}
				}
			}
		}
	}
}
