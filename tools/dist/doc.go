// Command dist makes what is released of binaries that are built already: OCI
// images without a container engine, the licences of what is linked, and the
// notes of a version. The same binaries give the same bytes, whenever and
// wherever it runs.
//
//	dist image ARCHIVE NAME:TAG LICENCES BINARY...  a tar file for docker load, podman load, skopeo and ctr; a binary is at linux-ARCH/NAME
//	dist licences BINARY...                         the licence texts, on standard output
//	dist notes CHANGELOG VERSION                    what the changelog says of a version, on standard output
package main
