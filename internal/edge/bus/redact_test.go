package bus_test

import (
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/bus"
)

// Nothing that may be a secret is left of a URL, in whichever form the client library
// takes it.
func TestNoSecretOfAURLIsShown(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                              "",
		"nats://host:4222":              "nats://host:4222",
		"host:4222":                     "host:4222",
		"operator:hunter2@host:4222":    "nats://xxxxx@host:4222",
		" operator:hunter2@host":        "nats://xxxxx@host",
		"hunter2@host:4222":             "nats://xxxxx@host:4222",
		"nats://:hunter2@host:4222":     "nats://xxxxx@host:4222",
		"tls://a:1,b:hunter2@c:2":       "tls://a:1,nats://xxxxx@c:2",
		"wss://host/path?token=hunter2": "wss://host/path",
		"wss://host/path#hunter2":       "wss://host/path",
		"me:hunter2%zz@host":            "(not a URL)",
		"nats://me:hunter2 x@host:1":    "(not a URL)",
		"://me:hunter2@host":            "(not a URL)",
		"me:hunter2@[::1":               "(not a URL)",
		"nats:/me:hunter2@host":         "(not a URL)",
		"//me:hunter2@host:4222":        "(not a URL)",
		"/me:hunter2@host":              "(not a URL)",
	} {
		if got := bus.Redact(url); got != want {
			t.Errorf("%q: %q, want %q", url, got, want)
		}
		if err := bus.CheckURLs(url); err != nil && strings.Contains(err.Error(), "hunter2") || (want == "(not a URL)") != (err != nil) {
			t.Errorf("%q: %v", url, err)
		}
	}
}
