package natsd_test

import (
	"bytes"
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
