package natsd_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
)

// page is the piece in which a file reaches the disk, or does not.
const page = 4096

// tearings are what a loss of power leaves of a file: cut at, or zeroed from, its
// first or its last page on.
var tearings = map[string]func(text []byte) []byte{
	"empty":          func([]byte) []byte { return nil },
	"zeroed":         func(text []byte) []byte { return make([]byte, len(text)) },
	"last page gone": func(text []byte) []byte { return text[:lastPage(text)] },
	"last page zeroed": func(text []byte) []byte {
		return append(bytes.Clone(text[:lastPage(text)]), make([]byte, len(text)-lastPage(text))...)
	},
}

func lastPage(text []byte) int { return max(len(text)-1, 0) / page * page }

// Whatever file of the data directory a loss of power has torn, the server starts
// again, all is provisioned, and takes and gives messages; and of a queue nothing
// is lost if it was a state that was torn, and no messages.
func TestItStartsFromTornFiles(t *testing.T) {
	t.Parallel()
	const waiting, inWork = 1500, 600
	dir := filled(t, waiting, inWork)
	stream := filepath.Join("jetstream", "$G", "streams", contract.StreamIntake)
	consumer := filepath.Join(stream, "obs", contract.ConsumerIngest)
	bucket := filepath.Join("jetstream", "$G", "streams", "KV_"+contract.BucketCursors)
	for _, c := range []struct {
		files []string // torn at once
		keeps bool
	}{
		{[]string{filepath.Join(consumer, "o.dat")}, true},
		{[]string{
			filepath.Join(consumer, "meta.inf"), filepath.Join(stream, "meta.sum"), filepath.Join(stream, "msgs", "index.db"),
			filepath.Join(bucket, "meta.inf"),
		}, true},
		{[]string{
			filepath.Join(consumer, "meta.sum"), filepath.Join(stream, "meta.inf"), filepath.Join(bucket, "meta.sum"),
			filepath.Join(bucket, "msgs", "1.blk"),
		}, true},
		{[]string{filepath.Join(stream, "msgs", "1.blk")}, false},
	} {
		for what, tear := range tearings {
			copied := filepath.Join(natstest.Dir(t), "data")
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			for _, file := range c.files {
				path := filepath.Join(copied, file)
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, tear(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want := 1
			if c.keeps {
				want = waiting + 1
			}
			if got := startsAgain(t, copied, want); got < want {
				t.Errorf("%s, %s: %d messages are delivered, want %d", c.files, what, got, want)
			}
		}
	}
}

// filled returns the data directory of a server that has ended, with messages that
// wait in the intake, some of which are in work.
func filled(t *testing.T, waiting, inWork int) string {
	t.Helper()
	dir := filepath.Join(natstest.Dir(t), "data")
	s := start(t, natsd.Config{Dir: dir, MaxStore: 1 << 40})
	js := provisioned(t, s)
	for range waiting {
		if _, err := js.PublishAsync("event.received", []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	kv, err := js.KeyValue(t.Context(), contract.BucketCursors)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), "relay", "{}"); err != nil {
		t.Fatal(err)
	}
	if got := take(t, js, inWork); got != inWork {
		t.Fatalf("%d messages are in work, want %d", got, inWork)
	}
	js.Conn().Close()
	s.Close()
	return dir
}

// startsAgain starts a server on a directory, publishes a message, and returns how
// many are delivered, as soon as there are so many.
func startsAgain(t *testing.T, dir string, want int) int {
	t.Helper()
	s := start(t, natsd.Config{Dir: dir, MaxStore: 1 << 40})
	defer s.Close()
	js := provisioned(t, s)
	defer js.Conn().Close()
	if _, err := js.Publish(t.Context(), "event.received", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), contract.StreamIntake)
	if err != nil {
		t.Fatal(err)
	}
	c, err := stream.Consumer(t.Context(), contract.ConsumerIngest)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // the consumer hears of a message after its publisher does
		info, err := c.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := int(info.NumPending) + info.NumAckPending //nolint:gosec // few
		if got >= want || time.Now().After(end) {
			return got
		}
	}
}

func provisioned(t *testing.T, s *natsd.Server) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(connect(t, s), jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	return js
}

// take has n messages of the intake in work.
func take(t *testing.T, js jetstream.JetStream, n int) (got int) {
	t.Helper()
	c, err := js.Consumer(t.Context(), contract.StreamIntake, contract.ConsumerIngest)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.Fetch(n)
	if err != nil {
		t.Fatal(err)
	}
	for range batch.Messages() {
		got++
	}
	return got
}

// What is torn is told of, by its path.
func TestATornStateIsToldOf(t *testing.T) {
	t.Parallel()
	dir := filled(t, 1, 1)
	path := filepath.Join(dir, "jetstream", "$G", "streams", contract.StreamIntake, "obs", contract.ConsumerIngest, "o.dat")
	if err := os.WriteFile(path, make([]byte, 12), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	start(t, natsd.Config{Dir: dir, MaxStore: 1 << 40, Log: slog.New(slog.NewTextHandler(&log, nil))}).Close()
	if text := log.String(); !strings.Contains(text, path) || !strings.Contains(text, "is damaged") {
		t.Errorf("logged %s", text)
	}
}
