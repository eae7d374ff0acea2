package homerelay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/relaymesh/relaymesh/internal/deny"
)

// store keeps events in one bbolt file. It is safe for concurrent use.
type store struct {
	path string
	db   *bbolt.DB
	file *os.File // of db, which locks it
	now  func() time.Time
	// denied is what Insert refuses; it is set before the store is used.
	denied   *deny.Lists
	kinds    []int  // likewise: see Config.Kinds
	maxBytes int64  // likewise: see Config.MaxBytes
	whole    *whole // of these kinds; nil if it keeps every kind
	// generation grows with every write: while it stays, so does the set of
	// events, but for those that expire. A write counts before Insert returns.
	generation atomic.Uint64
	urls       []string // of the relay, normalised; set before it serves

	turns   *gate           // changes on their way, by the pages that they may dirty
	ctx     context.Context //nolint:containedctx // ends with Close
	cancel  context.CancelFunc
	untidy  chan struct{} // see tidy
	tidying sync.WaitGroup

	closing sync.RWMutex // read while a change waits
	closed  bool
	writes  chan write
	written chan struct{}                // closed when all have been made
	damage  atomic.Pointer[DamagedError] // because of which nothing is written any more
	refused atomic.Pointer[error]        // by the disk, of the last commit; see takes
}

const lockTimeout = time.Second

// openStore opens or makes the file. bbolt locks it, so a second relay on the
// same file is an error after a second, not damage.
func openStore(path string) (*store, error) {
	db, file, err := openBolt(path)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("home relay: %s is in use by another process", path)
	}
	if err != nil {
		return nil, fmt.Errorf("home relay: open %s: %w", path, err)
	}
	s := &store{
		path: path, db: db, file: file, now: time.Now, turns: newGate(maxDirty), writes: make(chan write, maxGroup),
		written: make(chan struct{}), untidy: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.writeAll()
	err = s.update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("home relay: prepare %s: %w", path, err), s.Close())
	}
	// Listed before anybody writes: an event that is stored in steps is not a crash's.
	crashed, err := s.marked()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("home relay: read %s: %w", path, err), s.Close())
	}
	s.tidying.Go(func() { s.tidy(crashed) })
	if err := s.resumeVanishing(); err != nil {
		return nil, errors.Join(fmt.Errorf("home relay: finish a request to vanish in %s: %w", path, err), s.Close())
	}
	return s, nil
}

// Close waits for transactions that run; further calls do nothing.
func (s *store) Close() error {
	s.cancel()
	s.tidying.Wait()
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.writes)
	<-s.written
	if s.damage.Load() != nil {
		return s.file.Close() // bbolt waits for a transaction that cannot be undone
	}
	return s.db.Close()
}

// alive reports whether an entry may be served at time now.
func alive(s summary, now int64) bool {
	return s.expiration() == 0 || s.expiration() > now
}

// cancelled is polled by long walks.
func cancelled(ctx context.Context, step int) error {
	if step%1024 == 0 {
		return ctx.Err()
	}
	return nil
}
