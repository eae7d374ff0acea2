package k8s_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kubectl-validate/pkg/openapiclient"
	"sigs.k8s.io/kubectl-validate/pkg/validator"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
)

const (
	kubernetes = "1.30"
	keda       = "github.com/kedacore/keda/v2@v2.21.0"                        // for its CRDs alone
	prometheus = "github.com/prometheus-operator/prometheus-operator@v0.85.0" // likewise
)

// object is a rendered manifest.
type object = map[string]any

// at walks down fields and list items; nil if something is missing.
func at(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(object)
			v = m[step]
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				return nil
			}
			v = l[step]
		}
	}
	return v
}

func text(v any, path ...any) string { s, _ := at(v, path...).(string); return s }

func list(v any, path ...any) []any { l, _ := at(v, path...).([]any); return l }

func number(v any, path ...any) float64 { n, _ := at(v, path...).(float64); return n }

func name(o object) string { return text(o, "kind") + "/" + text(o, "metadata", "name") }

// render renders a kustomization as kubectl apply -k does.
func render(t *testing.T, dir string) (docs [][]byte, objects []object) {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsNone // of the test's own kustomization
	rendered, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rendered.Resources() {
		doc, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		var o object
		if err := yaml.Unmarshal(doc, &o); err != nil {
			t.Fatal(err)
		}
		docs, objects = append(docs, doc), append(objects, o)
	}
	return docs, objects
}

// withComponent is an overlay with a component.
func withComponent(t *testing.T, overlay, component string) string {
	return withLines(t, overlay, "components: [HERE/components/"+component+"]\n")
}

// withLines is an overlay with more lines of a kustomization; HERE is this directory.
func withLines(t *testing.T, overlay, lines string) string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	relative, err := filepath.Rel(dir, here)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll("resources: [HERE/overlays/"+overlay+"]\n"+lines, "HERE", relative)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func overlays(t *testing.T) map[string]string {
	return map[string]string{
		"single": "overlays/single", "single with console-token": withComponent(t, "single", "console-token"),
		"single with nats-users": withComponent(t, "single", "nats-users"),
		"ha":                     "overlays/ha", "ha with console-token": withComponent(t, "ha", "console-token"),
		"ha with dht-serve":      withComponent(t, "ha", "dht-serve"),
		"ha with monitoring":     withComponent(t, "ha", "monitoring"),
		"single with monitoring": withComponent(t, "single", "monitoring"),
		"ha with gateway":        withComponent(t, "ha", "gateway"),
		"ha with index":          withComponent(t, "ha", "index"),
		"single with index":      withComponent(t, "single", "index"),
	}
}

// module returns where a module lies.
func module(t *testing.T, version string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", version).Output()
	if err != nil {
		t.Fatalf("go mod download %s: %v", version, err)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m.Dir
}

// The schemas of Kubernetes and of KEDA: unknown fields, types, CRD rules.
func TestManifestsFitTheirSchemas(t *testing.T) {
	v, err := validator.New(openapiclient.NewComposite(
		openapiclient.NewHardcodedBuiltins(kubernetes),
		openapiclient.NewLocalCRDFiles(os.DirFS(filepath.Join(module(t, keda), "config", "crd", "bases"))),
		openapiclient.NewLocalCRDFiles(os.DirFS(filepath.Join(module(t, prometheus), "example", "prometheus-operator-crd"))),
	))
	if err != nil {
		t.Fatal(err)
	}
	check := func(doc []byte) error {
		_, parsed, err := v.Parse(doc)
		if err != nil {
			return err
		}
		return v.Validate(parsed)
	}
	for overlay, dir := range overlays(t) {
		docs, objects := render(t, dir)
		for i, doc := range docs {
			if err := check(doc); err != nil {
				t.Errorf("%s: %s: %v", overlay, name(objects[i]), err)
			}
			// The check itself must be able to fail.
			o := unstructured.Unstructured{Object: objects[i]}
			if o.GetKind() == "ConfigMap" || o.GetKind() == "Namespace" {
				continue
			}
			if err := unstructured.SetNestedField(o.Object, true, "spec", "maxReplicaCont"); err != nil {
				t.Fatal(err)
			}
			broken, err := yaml.Marshal(o.Object)
			if err != nil {
				t.Fatal(err)
			}
			if check(broken) == nil {
				t.Errorf("%s: %s: a misspelt field is accepted", overlay, name(objects[i]))
			}
		}
	}
}

// pods returns the pod templates by the name of what makes them.
func pods(objects []object) map[string]object {
	found := map[string]object{}
	for _, o := range objects {
		if pod, ok := at(o, "spec", "template", "spec").(object); ok &&
			slices.Contains([]string{"Deployment", "StatefulSet", "Job"}, text(o, "kind")) {
			found[text(o, "metadata", "name")] = pod
		}
	}
	return found
}

func TestEveryPodIsConfinedAndWatched(t *testing.T) {
	for overlay, dir := range overlays(t) {
		_, objects := render(t, dir)
		for workload, pod := range pods(objects) {
			c, ok := at(pod, "containers", 0).(object)
			if !ok || len(list(pod, "containers")) != 1 {
				t.Fatalf("%s: %s: want one container", overlay, workload)
			}
			for _, one := range append(list(pod, "initContainers"), c) {
				confined(t, overlay+": "+workload+": "+text(one, "name"), pod, one)
			}
			if text(c, "livenessProbe", "httpGet", "path") != "/livez" || text(c, "readinessProbe", "httpGet", "path") != "/readyz" {
				t.Errorf("%s: %s: lacks a probe", overlay, workload)
			}
		}
	}
}

// confined checks what a container of a pod may do and ask for.
func confined(t *testing.T, of string, pod object, c any) {
	t.Helper()
	for what, holds := range map[string]bool{
		"does not run as root":         at(pod, "securityContext", "runAsNonRoot") == true && number(pod, "securityContext", "runAsUser") > 0,
		"has a seccomp profile":        text(pod, "securityContext", "seccompProfile", "type") == "RuntimeDefault",
		"has no service account token": at(pod, "automountServiceAccountToken") == false,
		"cannot gain privileges":       at(c, "securityContext", "allowPrivilegeEscalation") == false,
		"has a read-only root":         at(c, "securityContext", "readOnlyRootFilesystem") == true,
		"has no capabilities":          text(c, "securityContext", "capabilities", "drop", 0) == "ALL",
		"asks for cpu and memory":      text(c, "resources", "requests", "cpu") != "" && text(c, "resources", "requests", "memory") != "",
		"has a memory limit":           text(c, "resources", "limits", "memory") != "",
		"names a version of its image": strings.Contains(text(c, "image"), ":") && !strings.HasSuffix(text(c, "image"), ":latest"),
	} {
		if !holds {
			t.Errorf("%s: not so: %s", of, what)
		}
	}
}

// settings returns the environment variables of a workload, those of the
// config map included.
func settings(objects []object, pod object) map[string]string {
	env := map[string]string{}
	maps := map[string]object{}
	for _, o := range objects {
		if text(o, "kind") == "ConfigMap" {
			maps[text(o, "metadata", "name")], _ = at(o, "data").(object)
		}
	}
	for _, from := range list(pod, "containers", 0, "envFrom") {
		for k, v := range maps[text(from, "configMapRef", "name")] {
			env[k], _ = v.(string)
		}
	}
	for _, e := range list(pod, "containers", 0, "env") {
		env[text(e, "name")] = text(e, "value")
	}
	return env
}

func TestEverySettingIsOneThatTheBinaryHas(t *testing.T) {
	var cli struct{ config.Config }
	// of relaymesh up, index and console
	known := []string{
		"RELAYMESH_DATA", "RELAYMESH_NATS_LISTEN", "RELAYMESH_NATS_OPEN", "RELAYMESH_NATS_USERS", "RELAYMESH_CONSOLE_TOKEN_FILE", "RELAYMESH_INDEX",
	}
	var gateway struct{ config.Gateway }
	var index struct{ config.ServeIndex }
	for _, flag := range slices.Concat(kong.Must(&cli).Model.Flags, kong.Must(&gateway).Model.Flags, kong.Must(&index).Model.Flags) {
		known = append(known, flag.Envs...)
	}
	for overlay, dir := range overlays(t) {
		_, objects := render(t, dir)
		for workload, pod := range pods(objects) {
			env := settings(objects, pod)
			for key := range env {
				if !slices.Contains(known, key) && key != "GOMEMLIMIT" {
					t.Errorf("%s: %s: no flag has the environment variable %s", overlay, workload, key)
				}
			}
			if file := env["RELAYMESH_CONSOLE_TOKEN_FILE"]; (file != "") != (strings.HasSuffix(overlay, "console-token") &&
				(workload == "console" || workload == "relaymesh")) {
				t.Errorf("%s: %s: the console's token is %q", overlay, workload, file)
			}
			if open, users := env["RELAYMESH_NATS_OPEN"] == "true", env["RELAYMESH_NATS_USERS"]; workload == "relaymesh" && open == (users != "") ||
				(users != "") != strings.HasSuffix(overlay, "nats-users") {
				t.Errorf("%s: %s: NATS is open: %v, and its users are in %q", overlay, workload, open, users)
			}
			if _, port, _ := strings.Cut(env["RELAYMESH_ADMIN"], ":"); port != "9464" ||
				number(pod, "containers", 0, "ports", 0, "containerPort") != 9464 {
				t.Errorf("%s: %s: the probes ask another port than %s", overlay, workload, env["RELAYMESH_ADMIN"])
			}
			if workload == "console" {
				continue // it works on no messages
			}
			drain, err := time.ParseDuration(env["RELAYMESH_DRAIN"])
			if err != nil {
				t.Errorf("%s: %s: RELAYMESH_DRAIN: %v", overlay, workload, err)
			}
			// After the drain time handlers get 5 s, and acks 15 s.
			if grace := number(pod, "terminationGracePeriodSeconds"); grace < drain.Seconds()+20 {
				t.Errorf("%s: %s: is killed after %v s, and drains for %s", overlay, workload, grace, drain)
			}
		}
	}
}

func TestHAHasOneDeploymentPerStageAndWhatEachNeeds(t *testing.T) {
	_, objects := render(t, withComponent(t, "ha", "gateway"))
	have := map[string]object{}
	var settings object
	for _, o := range objects {
		have[name(o)] = o
		if text(o, "kind") == "ConfigMap" && text(o, "data", "RELAYMESH_NATS") != "" {
			settings, _ = at(o, "data").(object)
		}
	}
	authority, _ := settings["RELAYMESH_NATS_CA"].(string)
	if url, _ := settings["RELAYMESH_NATS"].(string); !strings.HasPrefix(url, "tls://") || authority == "" {
		t.Errorf("NATS is reached at %s, with authority %q", url, authority)
	}
	for _, stage := range append(contract.Stages(), "console", contract.RoleGateway) {
		for _, kind := range []string{"Deployment", "PodDisruptionBudget", "NetworkPolicy"} {
			if have[kind+"/"+stage] == nil {
				t.Errorf("no %s for %s", kind, stage)
			}
		}
		deployment := have["Deployment/"+stage]
		if scaled := have["ScaledObject/"+stage] != nil; scaled != (stage != "console") || scaled != (at(deployment, "spec", "replicas") == nil) {
			t.Errorf("%s: scaled by KEDA: %t, replicas: %v; want one of the two", stage, scaled, at(deployment, "spec", "replicas"))
		}
		if at(have["PodDisruptionBudget/"+stage], "spec", "maxUnavailable") != 1.0 {
			t.Errorf("the budget of %s is not maxUnavailable: 1; with one replica minAvailable blocks drains", stage)
		}
		labels, _ := at(deployment, "spec", "template", "metadata", "labels").(object)
		for _, kind := range []string{"PodDisruptionBudget", "NetworkPolicy"} {
			o := have[kind+"/"+stage]
			wanted, ok := at(o, "spec", "selector", "matchLabels").(object)
			if kind == "NetworkPolicy" {
				wanted, ok = at(o, "spec", "podSelector", "matchLabels").(object)
			}
			for k, v := range wanted {
				if labels[k] != v {
					t.Errorf("the %s of %s selects %s=%v, which its pods are not", kind, stage, k, v)
				}
			}
			if !ok {
				t.Errorf("the %s of %s selects nothing", kind, stage)
			}
		}
		topologies := map[string]bool{}
		for _, c := range list(deployment, "spec", "template", "spec", "topologySpreadConstraints") {
			topologies[text(c, "topologyKey")] = true
		}
		if stage != "console" && (!topologies["topology.kubernetes.io/zone"] || !topologies["kubernetes.io/hostname"]) {
			t.Errorf("%s is not spread over zones and nodes: %v", stage, topologies)
		}
		secret := text(deployment, "spec", "template", "spec", "volumes", 0, "secret", "secretName")
		for _, v := range list(deployment, "spec", "template", "spec", "volumes") {
			if s := text(v, "secret", "secretName"); s != "" {
				secret = s
			}
		}
		if secret != "nats-"+stage {
			t.Errorf("%s logs in to NATS with secret %q", stage, secret)
		}
		if !slices.ContainsFunc(list(deployment, "spec", "template", "spec", "containers", 0, "volumeMounts"), func(m any) bool {
			return text(m, "mountPath") == filepath.Dir(authority)
		}) {
			t.Errorf("%s has not the authority of NATS in %s", stage, authority)
		}
	}
}

// A ScaledObject that names a consumer which does not exist scales nothing, and
// says so only in KEDA's log.
func TestScalingFollowsTheConsumersOfTheContract(t *testing.T) {
	consumers := map[string]contract.Consumer{}
	left := map[string]bool{}
	for _, c := range contract.Consumers() {
		switch c.Stream {
		case contract.StreamRetry, contract.StreamAdvisories:
		case contract.StreamLive: // its messages are held, each for a subscription: they are no work that waits
		default:
			consumers[c.Stream+"/"+c.Name] = c
			left[c.Stream+"/"+c.Name] = true
		}
	}
	_, objects := render(t, "overlays/ha")
	for _, o := range objects {
		if text(o, "kind") != "ScaledObject" {
			continue
		}
		stage := text(o, "spec", "scaleTargetRef", "name")
		for _, trigger := range list(o, "spec", "triggers") {
			id := text(trigger, "metadata", "stream") + "/" + text(trigger, "metadata", "consumer")
			c, ok := consumers[id]
			if !ok || c.Stage != stage {
				t.Errorf("%s is scaled by %s, which is not its consumer", stage, id)
			}
			delete(left, id)
			if most := number(o, "spec", "maxReplicaCount") * float64(c.InFlight); most > contract.MaxAckPending {
				t.Errorf("%s: %v pods work on %v messages of %s at a time, but JetStream hands out %d", stage, number(o, "spec", "maxReplicaCount"),
					most, id, contract.MaxAckPending)
			}
		}
	}
	for id := range left {
		t.Errorf("nothing scales with %s", id)
	}
}
