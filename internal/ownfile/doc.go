// Package ownfile writes the files that relaymesh keeps for itself, so that a
// loss of power leaves the old text or the new one, and sets aside those that a
// crash of the machine has damaged all the same.
package ownfile
