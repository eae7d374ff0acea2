// Package run puts the parts together: it opens the edges that a stage needs,
// fits them to the stage's ports, and runs the stage until it is told to stop.
// The worker binaries and relaymesh up run the same functions.
package run
