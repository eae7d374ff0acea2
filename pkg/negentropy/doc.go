// Package negentropy reconciles two sets over a network: it finds what each side
// lacks by exchanging messages whose size depends on the difference, not on the
// sets. It speaks negentropy protocol v1 (NIP-77, appendix).
package negentropy
