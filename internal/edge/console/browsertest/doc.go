// Package browsertest looks at the console in a real browser, over a real
// pipeline in a small world on loopback. It is a module of its own, so that
// nothing else needs a browser; make test-console runs it.
package browsertest
