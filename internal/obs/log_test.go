package obs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
)

func TestLogsNameTheTraceTheyBelongTo(t *testing.T) {
	var text bytes.Buffer
	log := NewLogger(&text, "info").With("stage", "ingest")
	log.InfoContext(t.Context(), "outside")
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	log.InfoContext(trace.ContextWithSpanContext(t.Context(), span), "inside")
	lines := bytes.Split(bytes.TrimSpace(text.Bytes()), []byte("\n"))
	var outside, inside map[string]any
	if err := json.Unmarshal(lines[0], &outside); err != nil || outside["trace_id"] != nil || outside["stage"] != "ingest" {
		t.Errorf("%s, %v", lines[0], err)
	}
	if err := json.Unmarshal(lines[1], &inside); err != nil || inside["trace_id"] != span.TraceID().String() ||
		inside["span_id"] != span.SpanID().String() || inside["stage"] != "ingest" {
		t.Errorf("%s, %v", lines[1], err)
	}
}

// Strangers' words in a log do nothing to the terminal that shows it.
func TestALogIsSafeForTerminals(t *testing.T) {
	var b strings.Builder
	evil := "\x1b[2J\u009b1m\u202e\u200b"
	err := fmt.Errorf("no: %w", errors.Join(errors.New(evil), errors.New("b")))
	NewLogger(&b, "info").With("url", evil).Info("no relay", "err", err, "addrs", []string{evil}, "reason", strings.Repeat("x", 1<<20))
	if text := b.String(); strings.ContainsAny(text, "\u009b\u202e\u200b\x1b") || strings.Contains(text, "u001b") ||
		!strings.Contains(text, "; b") || len(text) > 20<<10 {
		t.Errorf("%.2000q", text)
	}
}

func TestDurationsHaveTheirUnit(t *testing.T) {
	var b strings.Builder
	NewLogger(&b, "info").With("wait", time.Hour).Info("waits", slog.Group("relay", "wait", 1500*time.Millisecond))
	if text := b.String(); !strings.Contains(text, `"wait":"1h0m0s"`) || !strings.Contains(text, `"wait":"1.5s"`) {
		t.Error(text)
	}
}
