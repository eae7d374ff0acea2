package main

import (
	"encoding/hex"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// raw lets a side that speaks hexadecimal text take part in a session of bytes.
type raw struct{ side[string] }

func (r raw) Start() []byte { return unhex(r.side.Start()) }

func (r raw) Next(answer []byte) ([]byte, bool, error) {
	next, done, err := r.side.Next(hex.EncodeToString(answer))
	return unhex(next), done, err
}

func (r raw) Answer(msg []byte) ([]byte, error) {
	answer, err := r.side.Answer(hex.EncodeToString(msg))
	return unhex(answer), err
}

func (r raw) Found() (have, need []negentropy.ID) { return r.side.Found() }

func unhex(text string) []byte {
	msg, err := hex.DecodeString(text)
	if err != nil {
		panic("a peer's message is not hexadecimal: " + err.Error())
	}
	return msg
}
