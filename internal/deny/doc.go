// Package deny decides about the operator's deny lists: of keys, event ids, kinds,
// hosts and words. [Parse] reads a file, [Lists] holds what is in force for all
// that ask. Nothing here reads a file or knows a clock.
package deny
