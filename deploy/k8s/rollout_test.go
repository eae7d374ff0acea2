package k8s_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
)

const budget = "violate the pod's disruption budget"

// A Kubernetes accepts the manifests, rolls them out, and drains its nodes as
// the budgets say.
func TestKubernetes(t *testing.T) {
	c := start(t)
	t.Run("accepts the manifests and refuses what is wrong", func(t *testing.T) { testAccepts(t, c) })
	t.Run("rolls out overlay single", func(t *testing.T) { testSingle(t, c) })
	t.Run("rolls out overlay ha", func(t *testing.T) { testHA(t, c) })
	t.Run("upgrades overlay ha", func(t *testing.T) { testUpgrade(t, c) })
	t.Run("spreads replicas over nodes", func(t *testing.T) { testSpread(t, c) })
	t.Run("drains nodes as the budgets say", func(t *testing.T) { testDrain(t, c) })
}

// apply does what docs/operating.md says.
func (c *controlPlane) apply(t *testing.T, overlay string) {
	t.Helper()
	c.kubectl(t, nil, "apply", "--server-side", "--validate=strict", "-k", overlay)
}

func (c *controlPlane) rolledOut(t *testing.T, kind string) {
	t.Helper()
	c.kubectl(t, nil, "rollout", "status", "--namespace=relaymesh", "--timeout=3m", kind, "--selector=app.kubernetes.io/part-of=relaymesh")
}

func testSingle(t *testing.T, c *controlPlane) {
	c.kubectl(t, []byte(`{apiVersion: v1, kind: PersistentVolume, metadata: {name: disk}, spec: {capacity: {storage: 20Gi},
accessModes: [ReadWriteOnce], hostPath: {path: /nowhere}, persistentVolumeReclaimPolicy: Retain}}`), "create", "-f", "-")
	c.apply(t, "overlays/single")
	c.rolledOut(t, "statefulset")
	before := c.get(t, "pods")
	if len(before) != 1 {
		t.Fatalf("%d pods, want one", len(before))
	}

	// Nobody else may hold the data, so a drain moves the pod: it ends, and
	// begins elsewhere.
	node := text(before[0], "spec", "nodeName")
	c.kubectl(t, nil, "drain", node, "--timeout=3m")
	c.eventually(t, "the pod runs on another node", func() error {
		if after := c.get(t, "pods"); len(after) != 1 || text(after[0], "spec", "nodeName") == node || !ready(after[0]) {
			return fmt.Errorf("pods: %v", podsByNode(after))
		}
		return nil
	})
	if claims := c.get(t, "persistentvolumeclaims"); len(claims) != 1 || text(claims[0], "spec", "volumeName") != "disk" {
		t.Errorf("the data did not stay: %v", claims)
	}
	c.kubectl(t, nil, "uncordon", node)
	c.kubectl(t, nil, "delete", "--timeout=3m", "-k", "overlays/single")
}

func testHA(t *testing.T, c *controlPlane) {
	c.apply(t, "overlays/ha")
	for _, user := range append(contract.Stages(), "console", "operator") { // the fake nodes mount nothing
		c.kubectl(t, nil, "create", "secret", "generic", "nats-"+user, "--namespace=relaymesh", "--from-literal=seed=of-the-test",
			"--from-literal=ca.crt=of-the-test")
	}
	c.rolledOut(t, "deployment")
}

// testUpgrade applies a later version over what runs, and an earlier one again: that
// is all there is to do, and what provisions runs with each.
func testUpgrade(t *testing.T, c *controlPlane) {
	for _, version := range []string{"0.2.0", "0.1.0"} {
		var images strings.Builder
		for _, name := range append(contract.Stages(), "relaymesh") {
			fmt.Fprintf(&images, "  - {name: relaymesh/%s, newTag: %s}\n", name, version)
		}
		c.apply(t, withLines(t, "ha", "images:\n"+images.String()))
		c.rolledOut(t, "deployment")
		pods := c.podsOf(t, "console")
		if len(pods) != 1 || text(pods[0], "spec", "initContainers", 0, "image") != "relaymesh/relaymesh:"+version ||
			!slices.Equal(list(pods[0], "spec", "initContainers", 0, "args"), []any{"provision", "--replicas=3"}) {
			t.Errorf("version %s is not provisioned: %v", version, pods)
		}
	}
}

func testSpread(t *testing.T, c *controlPlane) {
	for _, stage := range contract.Stages() { // as KEDA would
		c.kubectl(t, nil, "scale", "--namespace=relaymesh", "deployment", stage, fmt.Sprintf("--replicas=%d", nodes))
	}
	c.rolledOut(t, "deployment")
	c.apply(t, "overlays/ha") // which must not undo what KEDA decides
	c.rolledOut(t, "deployment")
	for _, stage := range contract.Stages() {
		pods := c.podsOf(t, stage)
		on := map[string]bool{}
		for _, pod := range pods {
			on[text(pod, "spec", "nodeName")] = true
		}
		if len(pods) != nodes || len(on) != nodes {
			t.Errorf("%s: %d pods on %d nodes, want %d on as many: %v", stage, len(pods), len(on), nodes, podsByNode(pods))
		}
	}
}

// testDrain begins with three replicas of each stage, one on each of three nodes.
func testDrain(t *testing.T, c *controlPlane) {
	// It is drained below, and so keeps its pods until then.
	const node = "node-0"
	// Whoever goes now has nowhere to begin again.
	c.kubectl(t, nil, "cordon", "--selector=kubernetes.io/hostname")
	for _, stage := range contract.Stages() {
		c.kubectl(t, nil, "wait", "--namespace=relaymesh", "--for=jsonpath={.status.disruptionsAllowed}=1", "poddisruptionbudget/"+stage,
			"--timeout=3m")
		pods := c.podsOf(t, stage)
		first := slices.IndexFunc(pods, func(pod any) bool { return text(pod, "spec", "nodeName") != node })
		if err := c.evict(t, pods[first]); err != nil {
			t.Errorf("%s: the first eviction: %v", stage, err)
		}
		if err := c.evict(t, pods[(first+1)%nodes]); err == nil || !strings.Contains(err.Error(), "TooManyRequests") ||
			!strings.Contains(err.Error(), budget) {
			t.Errorf("%s: the second eviction: %v, want it refused with 429", stage, err)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	said := &lines{wanted: budget, seen: make(chan struct{})}
	drain := exec.CommandContext(ctx, filepath.Join(c.bin, "kubectl"), "--kubeconfig", c.path("kubeconfig"), "drain", node,
		"--delete-emptydir-data")
	drain.Stdout, drain.Stderr = said, said
	if err := drain.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- drain.Wait() }()
	select {
	case <-said.seen:
	case err := <-done:
		t.Fatalf("the drain ended although no other node takes pods: %v\n%s", err, said)
	}
	for i := 1; i < nodes; i++ {
		c.kubectl(t, nil, "uncordon", fmt.Sprintf("node-%d", i))
	}
	if err := <-done; err != nil {
		t.Fatalf("the drain did not end: %v\n%s", err, said)
	}
	c.rolledOut(t, "deployment")
	for _, stage := range contract.Stages() {
		pods := c.podsOf(t, stage)
		if at := podsByNode(pods); len(pods) != nodes || at[node] != 0 {
			t.Errorf("%s: pods at %v, want %d and none on %s", stage, at, nodes, node)
		}
	}
}

// evict asks for the end of a pod, as a drain does.
func (c *controlPlane) evict(t *testing.T, pod any) error {
	t.Helper()
	name := text(pod, "metadata", "name")
	doc, err := json.Marshal(object{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": object{"name": name, "namespace": "relaymesh"}})
	if err != nil {
		t.Fatal(err)
	}
	return c.try(t, doc, "create", "--raw", "/api/v1/namespaces/relaymesh/pods/"+name+"/eviction", "-f", "-")
}

// podsOf returns the pods of a stage that are not on their way out.
func (c *controlPlane) podsOf(t *testing.T, stage string) []any {
	t.Helper()
	var stay []any
	for _, pod := range c.get(t, "pods", "--selector=app.kubernetes.io/name="+stage) {
		if text(pod, "metadata", "deletionTimestamp") == "" {
			stay = append(stay, pod)
		}
	}
	return stay
}

func ready(pod any) bool {
	for _, c := range list(pod, "status", "conditions") {
		if text(c, "type") == "Ready" {
			return text(c, "status") == "True"
		}
	}
	return false
}

// podsByNode counts pods by node.
func podsByNode(pods []any) map[string]int {
	n := map[string]int{}
	for _, pod := range pods {
		n[text(pod, "spec", "nodeName")]++
	}
	return n
}
