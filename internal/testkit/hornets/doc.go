// Package hornets is a HORNETS relay as far as the sync over libp2p goes,
// written from the description of its messages: an independent peer to test
// against, in both roles. It uses the same negentropy library, and it is as
// trusting as the original: it stores whatever it is sent, and a malformed
// message may crash the process. Events are in memory.
package hornets
