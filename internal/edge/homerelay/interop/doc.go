// Package interop syncs the clients of others with our relay by NIP-77: the one
// of nostr-tools (JavaScript), and rust-nostr's (the Rust SDK as WebAssembly).
// Run it with make test-interop, which installs both, and a relay without NIP-77
// that internal/run syncs with (peers/plain.mjs).
package interop
