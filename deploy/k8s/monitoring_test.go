package k8s_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write components/monitoring/prometheusrule.yaml anew")

const ruleHead = `# Made of deploy/prometheus/alerts.yaml by go test ./... -update; do not edit.
`

// The alerts that the operator's Prometheus gets are those that make test-alerts
// tests.
func TestTheRuleHasTheAlerts(t *testing.T) {
	raw, err := os.ReadFile("../prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var spec object
	if err := yaml.Unmarshal(raw, &spec); err != nil {
		t.Fatal(err)
	}
	rule, err := yaml.Marshal(object{
		"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
		"metadata": object{"name": "relaymesh", "labels": object{"app.kubernetes.io/part-of": "relaymesh"}}, "spec": spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	const path = "components/monitoring/prometheusrule.yaml"
	want := append([]byte(ruleHead), rule...)
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if is, err := os.ReadFile(path); err != nil || !bytes.Equal(is, want) {
		t.Errorf("%s is not made of deploy/prometheus/alerts.yaml as it is: go test . -run Rule -update, %v", path, err)
	}
}

// Every pod is read, at the port that answers.
func TestEveryPodIsRead(t *testing.T) {
	for _, overlay := range []string{"single", "ha"} {
		_, objects := render(t, withComponent(t, overlay, "monitoring"))
		have := map[string]object{}
		for _, o := range objects {
			have[name(o)] = o
		}
		if text(have["ConfigMap/relaymesh-dashboard"], "metadata", "labels", "grafana_dashboard") != "1" ||
			text(have["ConfigMap/relaymesh-dashboard"], "data", "relaymesh.json") == "" {
			t.Errorf("%s: no dashboard that Grafana's sidecar finds", overlay)
		}
		monitor := have["PodMonitor/relaymesh"]
		selected, _ := at(monitor, "spec", "selector", "matchLabels").(object)
		port := text(monitor, "spec", "podMetricsEndpoints", 0, "port")
		for _, o := range objects {
			template := at(o, "spec", "template")
			if template == nil {
				continue
			}
			for k, v := range selected {
				if at(template, "metadata", "labels", k) != v {
					t.Errorf("%s: the pods of %s are not read", overlay, name(o))
				}
			}
			if text(template, "spec", "containers", 0, "ports", 0, "name") != port {
				t.Errorf("%s: %s has no port %s", overlay, name(o), port)
			}
		}
	}
}
