package dht

import (
	"context"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// Purge removes the records of denied keys, so that they are put no more. The
// nodes of the DHT forget them within hours. It is idempotent.
func (s *Stage) Purge(ctx context.Context) error {
	if s.Denied.Now().Empty() {
		return nil
	}
	err := s.Records.Each(ctx, "*.*", func(key string, r contract.Record) error {
		if !s.denies(r) {
			return nil
		}
		_, err := s.Records.Remove(ctx, key, s.denies)
		return err
	})
	if err != nil {
		return fmt.Errorf("couldn't remove records: %w", err)
	}
	return nil
}
