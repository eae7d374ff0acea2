package obs

import (
	"bytes"
	"encoding/json"
	"testing"

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
