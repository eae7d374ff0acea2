package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// engine is a container engine with a store of the test's own. It asks for as
// little as it can, so that it runs within a container, too.
type engine struct {
	t   *testing.T
	env []string
}

const engineConf = `[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
env = %s
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
`

// newEngine returns an engine whose containers have these environment variables, too.
func newEngine(t *testing.T, env ...string) engine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("runs containers, which wants root")
	}
	dir := t.TempDir()
	conf, store := filepath.Join(dir, "containers.conf"), filepath.Join(dir, "storage.conf")
	text := "[storage]\ndriver = \"vfs\"\ngraphroot = \"" + dir + "/graph\"\nrunroot = \"" + dir + "/run\"\n"
	list, err := json.Marshal(append([]string{}, env...)) // a list of TOML
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{conf: fmt.Sprintf(engineConf, list), store: text} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := engine{t, append(os.Environ(), "CONTAINERS_CONF="+conf, "CONTAINERS_STORAGE_CONF="+store)}
	t.Cleanup(func() { e.run("podman", "rm", "--all", "--force", "--time", "10") })
	return e
}

// run returns what a command prints on both outputs, and whether it succeeded.
func (e engine) run(args ...string) (out string, ok bool) {
	cmd := exec.Command(args[0], args[1:]...)
	var b bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = e.env, &b, &b
	err := cmd.Run()
	return b.String(), err == nil
}

func (e engine) must(args ...string) string {
	e.t.Helper()
	out, ok := e.run(args...)
	if !ok {
		e.t.Fatalf("%s:\n%s", strings.Join(args, " "), out)
	}
	return out
}

// The archives are what Podman loads and Skopeo reads, and what is in them runs:
// the whole pipeline, and the doctor, who finds it well.
func TestReleaseImagesRun(t *testing.T) {
	dir, version := released(t)
	e := newEngine(t)
	for _, name := range binaries {
		archive := filepath.Join(dir, name+"-"+version+"-image.tar")
		image := "docker.io/relaymesh/" + name + ":" + version
		if out := e.must("podman", "load", "--input", archive); !strings.Contains(out, image) {
			t.Errorf("podman loads %s as %s", archive, out)
		}
		out := e.must("podman", "run", "--rm", "--network", "none", image, "--version")
		if !strings.HasPrefix(out, version) {
			t.Errorf("the image of %s is of version %q", name, out)
		}
		for _, from := range []string{"oci-archive:" + archive, "docker-archive:" + archive + ":" + image} {
			if out := e.must("skopeo", "inspect", "--format", "{{.Os}}", from); strings.TrimSpace(out) != "linux" {
				t.Errorf("skopeo finds in %s: %s", from, out)
			}
		}
	}
	image := "docker.io/relaymesh/relaymesh:" + version
	flags := []string{"--allow-private", "--dht-serve", "--dht-listen", "127.0.0.1:6881", "--dht-bootstrap", "127.0.0.1:6881"}
	e.must(append([]string{"podman", "run", "--detach", "--name", "up", "--network", "none", "--volume", "data:/var/lib/relaymesh", image, "up"}, flags...)...)
	doctor := append([]string{"podman", "run", "--rm", "--network", "container:up", "--volume", "data:/var/lib/relaymesh", image, "doctor"}, flags...)
	if out, ok := e.run(doctor...); !ok {
		log, _ := e.run("podman", "logs", "up")
		t.Errorf("the doctor is not content:\n%s\nthe log:\n%s", out, log)
	}
	if out := e.must("podman", "stop", "--time", "45", "up"); !strings.Contains(out, "up") {
		t.Errorf("stopped %s", out)
	}
	if out := e.must("podman", "inspect", "--format", "{{.State.ExitCode}}", "up"); strings.TrimSpace(out) != "0" {
		t.Errorf("stopped, it ended with %s", out)
	}
}

// compose starts the services of a file with podman-compose, at free ports.
func (e engine) compose(file, version string, replace ...string) (run func(args ...string) (string, bool)) {
	e.t.Helper()
	text, err := os.ReadFile("../../deploy/compose/" + file)
	if err != nil {
		e.t.Fatal(err)
	}
	copied := filepath.Join(e.t.TempDir(), file)
	replace = append(replace, "127.0.0.1:7777:", "127.0.0.1::", "127.0.0.1:9464:", "127.0.0.1::")
	if err := os.WriteFile(copied, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o600); err != nil {
		e.t.Fatal(err)
	}
	e.env = append(e.env, "RELAYMESH_VERSION="+version)
	run = func(args ...string) (string, bool) {
		return e.run(append([]string{"podman-compose", "--project-name", "test", "--file", copied}, args...)...)
	}
	if out, ok := run("up", "--detach"); !ok {
		e.t.Fatalf("podman-compose up:\n%s", out)
	}
	e.t.Cleanup(func() { run("down", "--timeout", "45") })
	return run
}

// until runs a command until it succeeds.
func (e engine) until(args ...string) string {
	e.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		out, ok := e.run(args...)
		if ok {
			return out
		}
		if time.Now().After(end) {
			logs, _ := e.run("sh", "-c", "for c in $(podman ps --all --quiet); do podman logs --names --tail 10 $c; done")
			e.t.Fatalf("%s:\n%s\nthe logs:\n%s", strings.Join(args, " "), out, logs)
		}
	}
}

func TestReleaseRunsByCompose(t *testing.T) {
	dir, version := released(t)
	e := newEngine(t)
	for _, name := range binaries {
		e.must("podman", "load", "--input", filepath.Join(dir, name+"-"+version+"-image.tar"))
	}
	// The relay is that of relaymesh up: others are not to be had without a network.
	relay := "docker.io/relaymesh/relaymesh:" + version + "\n    command: [up, --relay-addr=0.0.0.0:7777, --nats-listen=]"
	t.Run("a relay and relaymesh", func(t *testing.T) {
		e := engine{t, e.env}
		run := e.compose("compose.yaml", version, "${RELAY_IMAGE:-docker.io/dockurr/strfry:1.0.4}", relay, "/app/strfry-db", "/var/lib/relaymesh")
		e.until("podman", "exec", "test_relaymesh_1", "/usr/bin/relaymesh", "doctor", "--relay", "ws://relay:7777", "--skip", "dht")
		if out, ok := run("down", "--timeout", "45"); !ok {
			t.Errorf("podman-compose down:\n%s", out)
		}
	})
	t.Run("NATS and the workers", func(t *testing.T) {
		e := engine{t, append(e.env, "RELAYMESH_RELAY=ws://192.0.2.7:7777")}
		e.compose("workers.yaml", version)
		e.until("podman", "exec", "test_console_1", "/usr/bin/relaymesh", "status", "--nats", "nats://nats:4222")
		for _, stage := range []string{"ingest", "dhtworker", "syncworker", "fetcher"} {
			e.until("sh", "-c", "podman logs test_"+stage+"_1 2>&1 | grep -q 'is up\\|started'")
		}
	})
}
