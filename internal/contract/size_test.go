package contract_test

import (
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// What is set aside for bounds leaves a quarter for what is not bounded, at every
// size, and from the full size on nothing shrinks.
func TestBoundsFitIntoTheStore(t *testing.T) {
	t.Parallel()
	for store := int64(contract.MinStore); store <= 2*contract.FullStore; store += contract.MinStore {
		if sum := contract.Bounds(store); sum > store/4*3 {
			t.Errorf("of %d bytes %d are set aside", store, sum)
		}
		for _, s := range contract.Streams() {
			got := s.Sized(store)
			if store >= contract.FullStore && (got.MaxBytes != s.MaxBytes || got.MaxWaiting != s.MaxWaiting) {
				t.Errorf("%s shrinks at %d", s.Name, store)
			}
			if s.MaxBytes > 0 && got.MaxBytes < 2<<20 || s.MaxWaiting > 0 && got.MaxWaiting < 256 {
				t.Errorf("%s takes %d bytes, %d messages at %d", s.Name, got.MaxBytes, got.MaxWaiting, store)
			}
			if store < contract.FullStore && s.MaxBytes > 0 && got.MaxBytes >= s.MaxBytes {
				t.Errorf("%s does not shrink at %d", s.Name, store)
			}
		}
	}
}
