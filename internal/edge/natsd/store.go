package natsd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/ownfile"
)

// Store is how many bytes the streams and buckets of a data directory may take.
type Store struct {
	// Bytes is for [bus.ProvisionOptions].
	Bytes int64
	// before is what it was at the last start, 0 at the first.
	before int64
}

// Limit is for [Config]: what the server may set aside while bounds are brought from
// one size to another.
func (s Store) Limit() int64 { return max(s.Bytes, s.before) }

// SizeStore decides how many bytes the streams in a data directory may take, which it
// makes, and remembers it there. wanted is what the operator says, in bytes, at least
// [contract.MinStore]; 0 leaves it to the disk. What a small store means is logged
// when it becomes that small.
func SizeStore(dir string, wanted int64, log *slog.Logger) (Store, error) {
	if wanted != 0 && wanted < contract.MinStore {
		return Store{}, fmt.Errorf("%d bytes for streams and buckets: at least 1GB are needed", wanted)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Store{}, fmt.Errorf("make data directory: %w", err)
	}
	path := filepath.Join(dir, "store.json")
	before, err := sizeBefore(dir, path, log)
	if err != nil {
		return Store{}, err
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return Store{}, fmt.Errorf("look how much of the disk is free: %w", err)
	}
	free, taken := int64(disk.Bavail)*disk.Bsize, takenBy(dir) //nolint:gosec // a size
	store := Store{decideStore(wanted, before, free, taken), before}
	if store.Limit() > free+taken {
		log.Warn("the disk has less room than NATS may take: when it is full everything waits until there is more, or less is asked for "+
			"(--nats-max-store)", "path", dir, "notice", fmt.Sprintf("%d MB are free, NATS may take %d MB", free/1e6, (store.Limit()-taken)/1e6))
	}
	if store.Bytes == before {
		return store, nil
	}
	if store.Bytes < contract.FullStore {
		log.Warn("the store of NATS is small, so queues hold less than they could before those wait who fill them (--nats-max-store)",
			"path", dir, "notice", fmt.Sprintf("%d MB in all, %d MB of them for events that ingest has not looked at", store.Bytes/1e6,
				contract.Streams()[0].Sized(store.Bytes).MaxBytes/1e6))
	}
	text, err := json.Marshal(savedStore{store.Bytes})
	if err == nil {
		err = ownfile.Write(path, append(text, '\n'), 0o600)
	}
	if err != nil {
		return store, fmt.Errorf("remember the size of the store: %w", err)
	}
	return store, nil
}

// savedStore is the file that remembers the size.
type savedStore struct {
	Bytes int64 `json:"max_store"`
}

// sizeBefore is the size at the last start. Versions that remembered none, and a file
// that is damaged, leave the streams as they are: for the size that they say.
func sizeBefore(dir, path string, log *slog.Logger) (int64, error) {
	text, err := os.ReadFile(path)
	var saved savedStore
	switch {
	case err == nil:
		if json.Unmarshal(text, &saved) == nil && saved.Bytes >= contract.MinStore {
			return saved.Bytes, nil
		}
		_, err := ownfile.SetAside(path)
		log.Warn("the file that remembers the size of the store is damaged and set aside (.damaged), the streams keep theirs",
			"path", path, "err", err)
	case !errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("size of the store: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "jetstream")); err != nil {
		return 0, nil //nolint:nilerr // there are none yet
	}
	return sizeOfStreams(dir), nil
}

// sizeOfStreams is the size for which the streams and buckets in a data directory are
// bounded: the largest below the full size, which is that of those that say none.
func sizeOfStreams(dir string) int64 {
	largest := int64(0)
	files, _ := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "meta.inf")) // fails by the pattern only
	for _, path := range files {
		var config struct {
			Metadata map[string]string `json:"metadata"`
		}
		if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &config) == nil {
			if size := bus.StoreOf(config.Metadata); size < contract.FullStore {
				largest = max(largest, size)
			}
		}
	}
	if largest == 0 {
		return contract.FullStore
	}
	return largest
}

// takenBy is how many bytes the streams in a data directory take on the disk.
func takenBy(dir string) (sum int64) {
	const block = 512
	_ = filepath.WalkDir(filepath.Join(dir, "jetstream"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // what cannot be looked at counts for nothing
		}
		if info, err := d.Info(); err == nil {
			if stat, is := info.Sys().(*syscall.Stat_t); is {
				sum += stat.Blocks * block
			}
		}
		return nil
	})
	return sum
}
