// Package otlp exports traces by OTLP over HTTP (protobuf), for processes
// whose environment asks for it with the OTEL_* variables of OpenTelemetry.
//
// The SDK makes and samples the spans and the exporter of OpenTelemetry turns
// them into protobuf; only the HTTP client is our own: that of OpenTelemetry
// links gRPC, which makes each binary 4 MB larger (docs/adr/0009).
package otlp
