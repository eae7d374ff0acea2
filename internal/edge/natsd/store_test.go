package natsd_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
)

// The size is decided once, told of once where it is small, and never shrinks by itself.
func TestTheSizeOfAStoreIsRemembered(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "nats")
	var log bytes.Buffer
	size := func(wanted int64) natsd.Store {
		t.Helper()
		log.Reset()
		s, err := natsd.SizeStore(dir, wanted, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	small := size(2 * contract.MinStore)
	if small.Bytes != 2*contract.MinStore || small.Limit() != small.Bytes || !strings.Contains(log.String(), "the store of NATS is small") {
		t.Errorf("%+v, logged %s", small, &log)
	}
	if again := size(2 * contract.MinStore); again.Bytes != small.Bytes || log.Len() > 0 {
		t.Errorf("%+v, logged %s", again, &log)
	}
	if least := size(contract.MinStore); least.Bytes != contract.MinStore || least.Limit() != 2*contract.MinStore {
		t.Errorf("%+v: the bounds that there are no longer fit", least)
	}
	huge := size(1 << 60)
	if huge.Bytes != 1<<60 || !strings.Contains(log.String(), "less room than NATS may take") {
		t.Errorf("%+v, logged %s", huge, &log)
	}
	if fuller := size(0); fuller.Bytes != 1<<60 {
		t.Errorf("shrank to %d on a disk that is fuller", fuller.Bytes)
	}
	// What an earlier version left has the full size, whatever the disk has.
	for _, text := range []string{"", "{", `{"max_store":5}`} {
		if err := os.WriteFile(filepath.Join(dir, "store.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "jetstream"), 0o700); err != nil {
			t.Fatal(err)
		}
		if s := size(0); s.Limit() < contract.FullStore {
			t.Errorf("after %q the size is %d", text, s.Bytes)
		}
	}
	if _, err := natsd.SizeStore(dir, 5, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("5 bytes are enough")
	}
}

// Where the file that remembers is damaged, the streams still say how large they were made.
func TestADamagedMemoryOfTheSize(t *testing.T) {
	t.Parallel()
	const size = 2 * contract.MinStore
	dir := filepath.Join(smallDisk(t, "16m"), "nats")
	for name, text := range map[string]string{
		"S/meta.inf": `{"name":"S"}`,
		"T/meta.inf": fmt.Sprintf(`{"name":"T","metadata":{"relaymesh-store":"%d"}}`, size),
		"U/meta.inf": "{",
	} {
		path := filepath.Join(dir, "jetstream", "$G", "streams", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, damage := range []string{"", "\x00\x00\x00", `{"max_store":`} {
		path := filepath.Join(dir, "store.json")
		if err := os.WriteFile(path, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		store, err := natsd.SizeStore(dir, 0, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil || store.Bytes != size || !strings.Contains(log.String(), path) || !strings.Contains(log.String(), "is damaged") {
			t.Errorf("after %q: %+v, %v, logged %s", damage, store, err, &log)
		}
	}
}
