// Package fetch is the fourth stage: it finds a note that the local relay
// lacks, wherever the author or those who refer to it say that it may be, and
// writes it to the local relay.
//
// Likely relays are asked first, several at a time; after a short silence the
// next is asked as well, and the first may still answer (decide_hedge.go). A search belongs to
// nobody: all who want the same note share it, and it goes on when they have
// given up (search.go). What was looked for in vain is held to be lost for a
// while (decide_lost.go).
package fetch
