// Package docs runs every command that README.md and the pages of docs/ show,
// with the arguments that stand there, in a small world on loopback: make
// test-docs. Its tests have the build tag docs, so that go test ./... neither
// builds nor runs them.
package docs
