// Package child runs the processes that benchmarks measure: programs of relaymesh,
// the embedded relay alone, and strfry beside it.
package child
