// Package scionic lets HORNETS's own libraries make, send and read Scionic
// DAGs, and internal/edge/scionic the other way round. It is a module of its
// own since these libraries are not in Go's checksum database; go.sum has the
// sums that HORNETS itself publishes.
package scionic
