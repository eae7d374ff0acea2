package ingest

import (
	"cmp"
	"context"
	"fmt"
	"maps"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// claimed is for how many seconds a slot stays claimed without a record: one
// that was claimed a moment ago is about to be filled.
const claimed = 3600

// claimSlot makes a target one of those under which records are kept for the
// author of put. There are [contract.MaxRecords] for each, and none is given up
// for another: an author who signs for a hundred DHT keys or salts costs the DHT
// no more than that, and keeps the first. But one that came with an event takes
// the place of one that came without: the author has signed the list of that, not
// its key, which anybody may have made. A slot is free again when its record has
// been deleted from the bucket.
func (s *Stage) claimSlot(ctx context.Context, put contract.Record, target string) error {
	pubkey := put.PubKey
	author, _, err := s.Authors.Get(ctx, pubkey)
	if err != nil {
		return fmt.Errorf("couldn't read author %s: %w", pubkey, err)
	}
	gone := map[string]int64{}
	if len(author.Records) >= contract.MaxRecords {
		gone, err = s.withoutRecord(ctx, author.Records)
		if _, has := author.Records[target]; err == nil && !has && len(gone) == 0 && put.Event != "" {
			gone, err = s.giveUpUnproved(ctx, pubkey, author.Records)
		}
		if err != nil {
			return err
		}
	}
	now := s.Now().Unix()
	author, err = s.Authors.Update(ctx, pubkey, func(a contract.Author, _ bool) (contract.Author, bool) {
		return claim(a, target, gone, now)
	})
	if err != nil {
		return fmt.Errorf("couldn't write author %s: %w", pubkey, err)
	}
	if _, ok := author.Records[target]; !ok {
		return bad(fmt.Errorf("dht_key: %d records are kept for the author, and no more will be; sign again for one of their keys and salts",
			len(author.Records)))
	}
	return nil
}

// withoutRecord returns those of the targets that no record is kept of.
func (s *Stage) withoutRecord(ctx context.Context, targets map[string]int64) (gone map[string]int64, err error) {
	gone = map[string]int64{}
	for target, at := range targets {
		_, found, err := s.Records.Get(ctx, contract.RecordKey(target))
		if err != nil {
			return nil, fmt.Errorf("couldn't read record %s: %w", target, err)
		}
		if !found && at <= s.Now().Unix()-claimed {
			gone[target] = at
		}
	}
	return gone, nil
}

// giveUpUnproved removes the youngest record of an author that came without an
// event, and returns its target, if there is one.
func (s *Stage) giveUpUnproved(ctx context.Context, pubkey string, targets map[string]int64) (gone map[string]int64, err error) {
	youngest := ""
	for target, at := range targets {
		r, found, err := s.Records.Get(ctx, contract.RecordKey(target))
		if err != nil {
			return nil, fmt.Errorf("couldn't read record %s: %w", target, err)
		}
		younger := cmp.Or(cmp.Compare(at, targets[youngest]), cmp.Compare(target, youngest)) > 0
		if found && r.Event == "" && r.PubKey == pubkey && (youngest == "" || younger) {
			youngest = target
		}
	}
	if youngest == "" {
		return nil, nil
	}
	_, err = s.Records.Remove(ctx, contract.RecordKey(youngest), func(r contract.Record) bool { return r.Event == "" && r.PubKey == pubkey })
	if err != nil {
		return nil, fmt.Errorf("couldn't remove record %s: %w", youngest, err)
	}
	return map[string]int64{youngest: targets[youngest]}, nil
}

// claim adds a target at now, if a slot is free for it without those that are
// gone and were not claimed again meanwhile.
func claim(a contract.Author, target string, gone map[string]int64, now int64) (contract.Author, bool) {
	kept := maps.Clone(a.Records)
	maps.DeleteFunc(kept, func(t string, at int64) bool {
		was, ok := gone[t]
		return ok && was == at
	})
	if _, ok := kept[target]; !ok && len(kept) >= contract.MaxRecords {
		return a, false
	}
	if kept == nil {
		kept = map[string]int64{}
	}
	kept[target] = now
	a.Records = kept
	return a, true
}
