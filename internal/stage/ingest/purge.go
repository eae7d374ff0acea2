package ingest

import (
	"context"
	"fmt"
	"strings"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// Purge removes what is known of denied keys from KV: the authors with their
// records, and the links; and the links to denied hosts. It is idempotent.
func (s *Stage) Purge(ctx context.Context) error {
	denied := s.Denied.Now()
	if denied.Empty() {
		return nil
	}
	for _, key := range denied.Keys() {
		if err := s.purgeAuthor(ctx, key); err != nil {
			return fmt.Errorf("couldn't remove author %s: %w", key, err)
		}
	}
	for _, pattern := range []string{contract.LinkKey("*", "*"), contract.ReaderKey("*", "*")} {
		err := s.Links.Each(ctx, pattern, func(key string, l contract.Link) error {
			pubkey := key[strings.LastIndexByte(key, '.')+1:]
			if !denied.Key(pubkey) && !denied.Relay(l.URL) {
				return nil
			}
			_, err := s.Links.Remove(ctx, key, func(l contract.Link) bool { return denied.Key(pubkey) || denied.Relay(l.URL) })
			return err
		})
		if err != nil {
			return fmt.Errorf("couldn't remove links: %w", err)
		}
	}
	return nil
}

// purgeAuthor removes the records before the author, who says where they are.
func (s *Stage) purgeAuthor(ctx context.Context, pubkey string) error {
	author, found, err := s.Authors.Get(ctx, pubkey)
	if err != nil || !found {
		return err
	}
	for target := range author.Records {
		_, err := s.Records.Remove(ctx, contract.RecordKey(target), func(r contract.Record) bool { return r.PubKey == pubkey })
		if err != nil {
			return err
		}
	}
	if _, err := s.Authors.Remove(ctx, pubkey, func(contract.Author) bool { return true }); err != nil {
		return err
	}
	// What is remembered would keep them from being written again, when they are
	// denied no more.
	s.cached.Delete(pubkey)
	for _, via := range contract.Sources() {
		s.followed.Delete(via + "." + pubkey)
	}
	return nil
}
