// Package fetch is the fourth stage: it finds a note that the local relay
// lacks, wherever the author or those who refer to it say that it may be, and
// writes it to the local relay.
package fetch
