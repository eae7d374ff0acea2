package natsd

import (
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
)

func TestDecideStore(t *testing.T) {
	t.Parallel()
	const gb = 1_000_000_000
	for _, c := range []struct {
		name                              string
		wanted, before, free, taken, want int64
	}{
		{"first start, large disk", 0, 0, 100 * gb, 0, 75 * gb},
		{"first start, 10 GB", 0, 0, 10 * gb, 0, 7.5 * gb},
		{"first start, 2 GB", 0, 0, 2 * gb, 0, 1.5 * gb},
		{"first start, nothing free", 0, 0, 1000, 0, contract.MinStore},
		{"the operator says", 3 * gb, 0, 100 * gb, 0, 3 * gb},
		{"the operator says less than before", 3 * gb, 7 * gb, 100 * gb, 0, 3 * gb},
		{"the disk has become fuller", 0, 12 * gb, 2 * gb, 1 * gb, 12 * gb},
		{"what it takes itself is no loss", 0, 7.5 * gb, 4 * gb, 6 * gb, 7.5 * gb},
		{"a little more room changes nothing", 0, 7.5 * gb, 10.4 * gb, 0, 7.5 * gb},
		{"a larger disk", 0, 1.5 * gb, 100 * gb, gb, 75.75 * gb},
	} {
		if got := decideStore(c.wanted, c.before, c.free, c.taken); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
