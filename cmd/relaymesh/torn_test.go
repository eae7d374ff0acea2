package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
)

// page is the piece in which a file reaches the disk, or does not.
const page = 4096

// tearings are what a loss of power leaves of a file whose last writes have not reached the
// disk: it ends at a page, or has zeros from one on.
func tearings(text []byte) map[string][]byte {
	torn := map[string][]byte{"empty": nil}
	last := max(len(text)-1, 0) / page
	for _, n := range slices.Compact([]int{0, min(1, last), last / 2, last}) {
		at := n * page
		zeroed := append(bytes.Clone(text[:at]), make([]byte, len(text)-at)...)
		torn[fmt.Sprintf("cut at page %d", n)], torn[fmt.Sprintf("zeros from page %d", n)] = text[:at], zeroed
	}
	return torn
}

// queued are how many lists wait in the intake of [snapshot].
const queued = 40

// snapshot is the data directory of an up that was killed while its intake held lists.
func snapshot(t *testing.T) string {
	t.Helper()
	dir, at := t.TempDir(), loopback.Addr()
	cmd := start(t, "relaymesh is up", quiet(dir, "--nats-listen", at, "--without", "ingest", "--p2p-listen", "127.0.0.1:0")...)
	js := dialNATS(t, at)
	for range queued {
		key, err := schnorr.NewSecret()
		if err != nil {
			t.Fatal(err)
		}
		list, err := run.SignList(key, []string{"wss://relay.example.com"}, time.Now().Unix())
		if err != nil {
			t.Fatal(err)
		}
		if err := byNATS(t.Context(), js, list.DHT); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := exited(t, cmd); code != run.ExitOK {
		t.Fatalf("exit code %d", code)
	}
	return dir
}

// Whatever file of its data a loss of power has torn, up starts, names it if it is one of
// ours, and goes on with its queue. Without RELAYMESH_TORN many are torn at once, in one way.
func TestUpStartsFromTornFiles(t *testing.T) {
	t.Parallel()
	dir := snapshot(t)
	kinds := filesOf(t, dir)
	if os.Getenv("RELAYMESH_TORN") == "" {
		var all []string
		for kind, names := range kinds {
			if kind != "1.blk" { // what it held is lost
				all = append(all, names...)
			}
		}
		startsTorn(t, dir, all, "zeros from page 0", true)
		return
	}
	for kind, names := range kinds {
		for _, how := range slices.Sorted(maps.Keys(tearings(make([]byte, 8*page)))) {
			startsTorn(t, dir, names, how, kind != "1.blk")
		}
	}
}

// filesOf are the files of a data directory: by name where NATS has one in the folder of each
// stream or consumer, which are torn together, and else each for itself.
func filesOf(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, ".lock") {
			return err
		}
		name, err := filepath.Rel(dir, path)
		kind := name
		if strings.HasPrefix(name, "nats/jetstream/") {
			kind = filepath.Base(name)
		}
		files[kind] = append(files[kind], name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"dht/nodes", "nats/store.json", "p2p/key", "relay/events.db", "o.dat", "meta.inf", "1.blk"} {
		if files[kind] == nil {
			t.Fatalf("there is no %s among %v", kind, files)
		}
	}
	return files
}

// startsTorn starts up on a copy of dir where files are torn in one way, and has it take in
// the queue if that is kept. The store of events is set aside by the operator's word alone,
// which comes before.
func startsTorn(t *testing.T, dir string, names []string, how string, kept bool) {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	var torn, told []string // and what must be named
	for _, name := range names {
		path := filepath.Join(copied, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		left, can := tearings(text)[how]
		if !can || bytes.Equal(left, text) {
			continue
		}
		if err := os.WriteFile(path, left, 0o600); err != nil {
			t.Fatal(err)
		}
		torn = append(torn, path)
		if named(path, how) {
			told = append(told, path)
		}
	}
	if torn == nil {
		return
	}
	if slices.Contains(names, "relay/events.db") {
		if code, stdout, stderr := here("doctor", "--repair", "--data", copied); code != run.ExitOK {
			t.Errorf("%s: repair: exit code %d, %s%s", how, code, stdout, stderr)
		}
	}
	at := loopback.Addr()
	cmd := command(t, quiet(copied, "--nats-listen", at, "--p2p-listen", "127.0.0.1:0")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	want := uint64(0)
	if kept {
		want = queued
	}
	eventually(t, func() error { return knowsRecords(t, at, want) })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("%s, %s: %v, %s", names, how, err, &stderr)
	}
	if code := exited(t, cmd); code != run.ExitOK {
		t.Errorf("%s, %s: exit code %d, %s", names, how, code, &stderr)
	}
	for _, path := range told {
		if !strings.Contains(stderr.String(), path) {
			t.Errorf("%s, %s: not named in %s", path, how, &stderr)
		}
	}
}

// named reports whether up must say that a file is torn: not of those that the NATS server
// makes again by itself, nor of an empty state of a consumer, which is none, nor of a store
// of events, which doctor has named.
func named(path, how string) bool {
	switch info, err := os.Stat(path); {
	case strings.HasSuffix(path, "/o.dat"):
		return err == nil && info.Size() > 0
	case strings.HasSuffix(path, "/events.db"):
		return false
	}
	return !strings.Contains(path, "/jetstream/")
}

// knowsRecords fails unless a pipeline knows that many records of lists, or more.
func knowsRecords(t *testing.T, natsURL string, want uint64) error {
	t.Helper()
	nc, err := nats.Connect(natsURL)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	records, err := js.KeyValue(t.Context(), contract.BucketRecords)
	if err != nil {
		return err
	}
	status, err := records.Status(t.Context())
	if err == nil && status.Values() < want {
		err = fmt.Errorf("%d records are known, want %d", status.Values(), want)
	}
	return err
}
