// Package scionic downloads Scionic Merkle DAGs, by which HORNETS relays keep
// files and folders, and verifies them leaf by leaf against the root that an
// event names. It speaks HORNETS's /download over any stream: CBOR messages,
// each packet of leaves answered before the next one comes.
//
// What a root binds: the name, type, content and further data of each leaf, and
// the set of a leaf's children. Their order it does not bind.
package scionic
