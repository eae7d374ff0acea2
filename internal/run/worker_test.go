package run

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
)

// lines is a log whose lines are received one by one.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// A worker that waits for NATS lives from the first moment, is not ready, and says so in its log, once.
func TestAWorkerLivesBeforeNATSIsThere(t *testing.T) {
	t.Parallel()
	for _, stage := range contract.Stages() {
		admin, log := loopback.Addr(), make(lines, 1000)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		ended := make(chan error, 1)
		go func() {
			c := config.Config{NATS: "nats://127.0.0.1:1", Admin: admin}
			ended <- worker(ctx, c, stage, slog.New(slog.NewTextHandler(log, nil)), nil)
			close(log)
		}()
		if line := <-log; !strings.Contains(line, "level=WARN") || !strings.Contains(line, "waiting for NATS") {
			t.Errorf("%s says first %s", stage, line)
		}
		for path, want := range map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
			resp, err := http.Get("http://" + admin + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			if _ = resp.Body.Close(); resp.StatusCode != want {
				t.Errorf("%s: %s is %d: %s", stage, path, resp.StatusCode, body)
			}
		}
		stop()
		if err := <-ended; err == nil {
			t.Errorf("%s ended as if it had done its work", stage)
		}
		for line := range log {
			if strings.Contains(line, "waiting for NATS") {
				t.Errorf("%s says again %s", stage, line)
			}
		}
	}
}
