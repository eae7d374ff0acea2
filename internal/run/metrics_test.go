package run

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/console"
	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/stage/index"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// The names and labels of metrics are public: dashboards and alerts use them.
func TestMetricsAreNamedByTheRules(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t)
	env, err := NewEnv(config.Config{}, js, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(env.Close)
	for _, stageName := range contract.Stages() {
		if _, err := env.bus(stageName); err != nil {
			t.Fatal(err)
		}
	}
	env.observeSyncs()(t.Context(), events.SyncFinished{}, time.Second)
	node, err := StartNode(t.Context(), config.Config{DHT: config.DHT{Listen: "127.0.0.1:0", Bootstrap: []string{"127.0.0.1:1"}}}, env.Log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	env.watch(node)
	watchIndexes(env.Metrics, newTestResolver(t))
	path := filepath.Join(t.TempDir(), "lists.db")
	home, err := homerelay.Start(t.Context(), homerelay.Config{Path: path, Kinds: []int{10002}, Log: env.Log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = home.Close() })
	newIndexMetrics(env.Metrics, home, &index.Announcer{}).count(0, nil)
	_, stop, err := StartGateway(t.Context(), GatewayAt{Relay: home.URL(), Metrics: env.Metrics}, nil, env.Log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop(context.Background()) })

	env.Metrics.MustRegister(console.New(js, console.Options{}))

	families, err := env.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	allowed := []string{ // closed sets of values
		"stage", "consumer", "verdict", "stream", "outcome", "how", "kind", "direction", "standing", "state", "health", "holders",
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "relaymesh_") {
			continue
		}
		names = append(names, f.GetName())
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !slices.Contains(allowed, l.GetName()) {
					t.Errorf("%s has the label %s: are its values a closed set?", f.GetName(), l.GetName())
				}
			}
		}
	}
	if len(names) < 10 {
		t.Errorf("gathered only %q", names)
	}
	problems, err := testutil.GatherAndLint(env.Metrics, names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	// What the dashboard and the alerts ask for must exist.
	known := described(env.Metrics)
	for _, file := range []string{"../../deploy/prometheus/alerts.yaml", "../../deploy/grafana/relaymesh.json"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		used := regexp.MustCompile(`relaymesh_[a-z_]+`).FindAllString(string(text), -1)
		if len(used) == 0 {
			t.Errorf("%s uses no metric", file)
		}
		for _, name := range used {
			base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			if !known[name] && !known[base] {
				t.Errorf("%s uses %s, which nobody counts", file, name)
			}
		}
	}
}

// described returns the names of all metrics, of which some have no value yet.
func described(r *prometheus.Registry) map[string]bool {
	names := map[string]bool{}
	descs := make(chan *prometheus.Desc)
	go func() {
		r.Describe(descs)
		close(descs)
	}()
	for d := range descs {
		_, name, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		names[name] = true
	}
	return names
}
