package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Start begins to export traces if the environment names an endpoint
// (OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) or an
// exporter (OTEL_TRACES_EXPORTER=otlp); else the provider is nil, which keeps
// no traces. stop exports what is left, until its context ends. What the
// endpoint does not take is logged, once a minute, and forgotten.
func Start(service, version string, log *slog.Logger) (provider trace.TracerProvider, stop func(context.Context) error, err error) {
	none := func(context.Context) error { return nil }
	on, err := wanted()
	if err != nil || !on {
		return nil, none, err
	}
	c, err := newClient()
	if err != nil {
		return nil, none, err
	}
	about, err := resource.New(
		context.Background(),
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.namespace", "relaymesh"), attribute.String("service.name", service),
			attribute.String("service.version", version),
		),
		resource.WithFromEnv(), // the last word
	)
	if err != nil {
		return nil, none, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(&complaints{log: log})
	p := sdk.NewTracerProvider(sdk.WithBatcher(otlptrace.NewUnstarted(c)), sdk.WithResource(about))
	log.Info("exporting traces", "url", c.shown)
	return p, p.Shutdown, nil
}

// wanted reports whether the environment asks for traces.
func wanted() (bool, error) {
	if off, _ := strconv.ParseBool(os.Getenv("OTEL_SDK_DISABLED")); off {
		return false, nil
	}
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "otlp":
		return true, nil
	case "":
		return setting("ENDPOINT") != "", nil
	case "none":
		return false, nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER: %q is neither otlp nor none", exporter)
	}
}

// setting is a variable of the exporter: that for traces or that for all signals.
func setting(name string) string {
	if v := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_" + name); v != "" {
		return v
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_" + name)
}

// complaints logs what goes wrong, at most once a minute.
type complaints struct {
	log  *slog.Logger
	last atomic.Int64
}

// Handle is called by the SDK.
func (c *complaints) Handle(err error) {
	now, last := time.Now().Unix(), c.last.Load()
	if now-last >= 60 && c.last.CompareAndSwap(last, now) {
		c.log.Warn("couldn't export traces", "err", err)
	}
}
