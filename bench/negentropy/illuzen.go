package main

import (
	illuzen "github.com/illuzen/go-negentropy"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// illuzenSide is a session of illuzen/go-negentropy. It keeps what it returns
// without a copy, loses a carry where two limbs are all ones, and accepts no
// timestamp above 2^63; sets of hashes and seconds show none of that.
type illuzenSide struct {
	*illuzen.Negentropy
	have, need []string
}

func newIlluzen(store illuzen.Storage, frameLimit int) *illuzenSide {
	n, err := illuzen.NewNegentropy(store, uint64(frameLimit))
	if err != nil {
		panic(err)
	}
	return &illuzenSide{Negentropy: n}
}

// newIlluzenVector seals a set as illuzen does. Unlike others it refuses repetitions.
func newIlluzenVector(items []negentropy.Item) *illuzen.Vector {
	v := illuzen.NewVector()
	for i := range items {
		if err := v.Insert(items[i].Timestamp, items[i].ID[:]); err != nil {
			panic(err)
		}
	}
	if err := v.Seal(); err != nil {
		panic(err)
	}
	return v
}

func (s *illuzenSide) Start() []byte {
	msg, err := s.Initiate()
	if err != nil {
		panic(err)
	}
	return msg
}

func (s *illuzenSide) Next(answer []byte) ([]byte, bool, error) {
	next, err := s.ReconcileWithIDs(answer, &s.have, &s.need)
	return next, next == nil, err
}

func (s *illuzenSide) Answer(msg []byte) ([]byte, error) { return s.Reconcile(msg) }

// Found turns the ids, which illuzen reports as strings of 32 bytes, into ids.
func (s *illuzenSide) Found() (have, need []negentropy.ID) {
	ids := func(list []string) (ids []negentropy.ID) {
		for _, id := range list {
			ids = append(ids, negentropy.ID([]byte(id)))
		}
		return ids
	}
	return ids(s.have), ids(s.need)
}
