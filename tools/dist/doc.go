// Command dist makes what is released of binaries that are built already: OCI
// images without a container engine, and lists of what is in a binary (SPDX).
// The same binaries give the same bytes, whenever and wherever it runs.
//
//	dist image DIR NAME BINARY...   an OCI layout in DIR; binaries are named NAME-linux-ARCH
//	dist sbom BINARY                an SPDX document on standard output
package main
