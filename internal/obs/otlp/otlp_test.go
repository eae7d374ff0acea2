package otlp

import (
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// unset takes the variables of the machine away.
func unset(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
}

func TestTracesAreOffUnlessTheEnvironmentAsksForThem(t *testing.T) {
	for _, c := range []struct {
		env map[string]string
		on  bool
	}{
		{nil, false},
		{map[string]string{"OTEL_SERVICE_NAME": "x"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/x"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, false},
		{map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, false},
	} {
		t.Run("", func(t *testing.T) {
			unset(t)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			provider, stop, err := Start("test", "1", slog.New(slog.DiscardHandler))
			if err != nil || (provider != nil) != c.on {
				t.Errorf("%v: on %t, %v", c.env, provider != nil, err)
			}
			if err := stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMistakesInTheEnvironmentAreNamed(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_TRACES_EXPORTER":                  "jaeger",
		"OTEL_EXPORTER_OTLP_PROTOCOL":           "grpc",
		"OTEL_EXPORTER_OTLP_ENDPOINT":           "collector:4318",
		"OTEL_EXPORTER_OTLP_TIMEOUT":            "10s",
		"OTEL_EXPORTER_OTLP_COMPRESSION":        "zstd",
		"OTEL_EXPORTER_OTLP_HEADERS":            "authorization=%zz-secret",
		"OTEL_EXPORTER_OTLP_CERTIFICATE":        "/nowhere",
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/nowhere",
		"OTEL_RESOURCE_ATTRIBUTES":              "no-pair",
	} {
		t.Run(name, func(t *testing.T) {
			unset(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
			t.Setenv(name, value)
			_, _, err := Start("test", "1", slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
		})
	}
}

// The receiver is busy once; what it gets at the end is told to be whose it is,
// compressed, with the headers. A stop waits for it.
func TestSpansArriveAsTheEnvironmentSays(t *testing.T) {
	unset(t)
	got := make(chan *tracepb.TracesData, 1)
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.URL.Path != "/here" || r.Header.Get("Authorization") != "Bearer a b" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %v", r.URL, r.Header)
		}
		var data tracepb.TracesData
		unzipped, err := gzip.NewReader(r.Body)
		if err == nil {
			var body []byte
			if body, err = io.ReadAll(unzipped); err == nil {
				err = proto.Unmarshal(body, &data)
			}
		}
		if err != nil {
			t.Error(err)
		}
		got <- &data
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", server.URL+"/here")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a%20b")
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,zone=z")
	provider, stop, err := Start("test", "1.2.3", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("t").Start(t.Context(), "work")
	span.End()
	if err := stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	data := <-got
	about := map[string]string{}
	for _, a := range data.ResourceSpans[0].Resource.Attributes {
		about[a.Key] = a.Value.GetStringValue()
	}
	if about["service.name"] != "mine" || about["service.namespace"] != "relaymesh" || about["service.version"] != "1.2.3" ||
		about["zone"] != "z" {
		t.Errorf("resource %v", about)
	}
	if s := data.ResourceSpans[0].ScopeSpans[0].Spans; len(s) != 1 || s[0].Name != "work" {
		t.Errorf("spans %v", s)
	}
}

func TestTheSamplerIsTheEnvironments(t *testing.T) {
	unset(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
	provider, stop, err := Start("test", "1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, span := provider.Tracer("t").Start(t.Context(), "work"); span.IsRecording() {
		t.Error("sampled")
	}
	if err := stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// A receiver that hangs does not hold the process up for longer than it is told.
func TestAStopEndsWithItsContext(t *testing.T) {
	unset(t)
	free := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-free }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(free) })
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	provider, stop, err := Start("test", "1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("t").Start(t.Context(), "work")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := stop(ctx); err == nil {
		t.Error("the span was lost, and nobody said so")
	}
}
