package k8s_test

import (
	"slices"
	"strings"
	"testing"
)

// The console is for operators only: nothing leads to it from outside, and who
// reaches it inside is said.
func TestNothingLeadsToTheConsoleFromOutside(t *testing.T) {
	_, objects := render(t, "overlays/ha")
	var services int
	for _, o := range objects {
		switch kind := text(o, "kind"); kind {
		case "Ingress", "Gateway", "HTTPRoute":
			t.Errorf("there is %s", name(o))
		case "Service":
			services++
			if kind := text(o, "spec", "type"); kind != "" && kind != "ClusterIP" {
				t.Errorf("%s is a %s", name(o), kind)
			}
			if text(o, "spec", "selector", "app.kubernetes.io/name") != "console" || text(o, "spec", "ports", 0, "targetPort") != "admin" {
				t.Errorf("%s leads to %v", name(o), at(o, "spec"))
			}
		case "NetworkPolicy":
			for _, rule := range list(o, "spec", "ingress") {
				if len(list(rule, "from")) == 0 || len(list(rule, "ports")) == 0 {
					t.Errorf("%s lets everybody in: %v", name(o), rule)
				}
			}
		}
	}
	if services != 1 {
		t.Errorf("%d services, want that of the console", services)
	}
}

// Whoever may reach IPv4 addresses of the world may reach those of IPv6 likewise,
// and names are looked up where NodeLocal DNSCache answers, too.
func TestPodsReachTheWorldByBothProtocols(t *testing.T) {
	const nodeLocal = "169.254.20.10/32"
	for overlay, dir := range overlays(t) {
		_, objects := render(t, dir)
		dns := false
		for _, o := range objects {
			if text(o, "kind") != "NetworkPolicy" {
				continue
			}
			for _, rule := range list(o, "spec", "egress") {
				var cidrs []string
				for _, to := range list(rule, "to") {
					cidrs = append(cidrs, text(to, "ipBlock", "cidr"))
				}
				world := slices.Contains(cidrs, "0.0.0.0/0")
				if world != slices.Contains(cidrs, "2000::/3") || world != slices.Contains(cidrs, "64:ff9b::/96") {
					t.Errorf("%s: %s lets out to %s", overlay, name(o), strings.Join(cidrs, ", "))
				}
				dns = dns || slices.Contains(cidrs, nodeLocal) && number(rule, "ports", 0, "port") == 53
			}
		}
		if !dns {
			t.Errorf("%s: nobody may ask NodeLocal DNSCache", overlay)
		}
	}
}
