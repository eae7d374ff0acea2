package k8s_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// The API server itself, asked without effect, with Pod Security "restricted".
func testAccepts(t *testing.T, c *controlPlane) {
	c.kubectl(t, nil, "apply", "--server-side", "-f", "overlays/ha/namespace.yaml")
	c.eventually(t, "the namespace has its service account", func() error {
		return c.try(t, nil, "get", "--namespace=relaymesh", "serviceaccount", "default")
	})
	for overlay, dir := range overlays(t) {
		docs, objects := render(t, dir)
		err := c.dryRun(t, bytes.Join(docs, []byte("---\n")))
		if overlay == "ha with dht-serve" {
			refused(t, err, "violate PodSecurity", "host namespaces") // as the component says
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", overlay, err)
		}
		all := pods(objects)
		for _, o := range objects {
			for _, claim := range list(o, "spec", "volumeClaimTemplates") { // which a StatefulSet adds to its pods
				pod := all[text(o, "metadata", "name")]
				pod["volumes"] = append(list(pod, "volumes"), object{"name": at(claim, "metadata", "name"), "emptyDir": object{}})
			}
		}
		for workload, pod := range all {
			testPodSecurity(t, c,
				object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": workload, "namespace": "relaymesh"}, "spec": pod})
		}
		tried := map[string]bool{}
		for _, o := range objects {
			if spec, ok := at(o, "spec").(object); ok && !tried[text(o, "kind")] {
				tried[text(o, "kind")] = true
				with(spec, "maxReplicaCont", 8, func() { refused(t, c.ask(t, o), "field not declared in schema") })
			}
			if text(o, "kind") == "ScaledObject" {
				with(o["spec"].(object), "maxReplicaCount", "eight", func() { refused(t, c.ask(t, o), "maxReplicaCount") })
			}
		}
	}
}

// testPodSecurity checks that a pod is accepted, and why: with less it is not.
func testPodSecurity(t *testing.T, c *controlPlane, pod object) {
	t.Helper()
	if err := c.ask(t, pod); err != nil {
		t.Errorf("the pod of %s: %v", name(pod), err)
	}
	for _, fault := range []struct {
		of         any
		field, why string
	}{
		{at(pod, "spec", "containers", 0, "securityContext"), "allowPrivilegeEscalation", "allowPrivilegeEscalation != false"},
		{at(pod, "spec", "containers", 0, "securityContext"), "capabilities", "unrestricted capabilities"},
		{at(pod, "spec", "securityContext"), "runAsNonRoot", "runAsNonRoot != true"},
		{at(pod, "spec", "securityContext"), "seccompProfile", "seccompProfile"},
	} {
		with(fault.of.(object), fault.field, nil, func() { refused(t, c.ask(t, pod), "violates PodSecurity", fault.why) })
	}
}

func (c *controlPlane) dryRun(t *testing.T, doc []byte) error {
	t.Helper()
	return c.try(t, doc, "apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-")
}

func (c *controlPlane) ask(t *testing.T, o object) error {
	t.Helper()
	doc, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return c.dryRun(t, doc)
}

// with runs f while a field of o has another value.
func with(o object, field string, value any, f func()) {
	before, had := o[field]
	o[field] = value
	f()
	o[field] = before
	if !had {
		delete(o, field)
	}
}

// refused checks that the API server refused something and why.
func refused(t *testing.T, err error, why ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("accepted; want it refused with %q", why)
		return
	}
	for _, w := range why {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("refused without a word of %q: %v", w, err)
		}
	}
}
