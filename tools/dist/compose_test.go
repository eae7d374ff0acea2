package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const compose = "../../deploy/compose/"

func project(t *testing.T, file string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{file}, cli.WithName("test"), cli.WithEnv([]string{"RELAYMESH_RELAY=ws://192.0.2.7:7777"}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return p
}

// The files are held against the schema of Compose, and every setting is one that
// a flag has.
func TestComposeFiles(t *testing.T) {
	known := settings(t)
	stages := map[string]bool{}
	for _, file := range []string{"compose.yaml", "workers.yaml"} {
		for name, s := range project(t, compose+file).Services {
			if name == "relay" {
				continue
			}
			stages[name] = true
			if !strings.HasPrefix(s.Image, "docker.io/relaymesh/") || !s.ReadOnly || len(s.CapDrop) != 1 || s.CapDrop[0] != "ALL" {
				t.Errorf("%s: %s has image %s, and may write to its root: %t, keeps capabilities: %v", file, name, s.Image, !s.ReadOnly, s.CapDrop)
			}
			if s.StopGracePeriod == nil || s.StopGracePeriod.String() != "45s" {
				t.Errorf("%s: %s is killed after %s", file, name, s.StopGracePeriod)
			}
			for key := range s.Environment {
				if !known[key] {
					t.Errorf("%s: %s: no flag has the environment variable %s", file, name, key)
				}
			}
			for _, p := range s.Ports {
				if p.HostIP != "127.0.0.1" {
					t.Errorf("%s: %s is open to the network at %s", file, name, p.Published)
				}
			}
		}
	}
	for _, stage := range binaries {
		if !stages[stage] {
			t.Errorf("no service %s", stage)
		}
	}
	broken := filepath.Join(t.TempDir(), "compose.yaml")
	text, err := os.ReadFile(compose + "compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, []byte(strings.Replace(string(text), "read_only:", "readonly:", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := cli.NewProjectOptions([]string{broken}, cli.WithName("test"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := options.LoadProject(t.Context()); err == nil {
		t.Error("a misspelt key is accepted")
	}
}

// settings are the environment variables of all flags.
func settings(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	for _, dir := range []string{"../../internal/config/", "../../cmd/relaymesh/"} {
		files, err := filepath.Glob(dir + "*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("no sources in %s: %v", dir, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`env:"(\w+)"`).FindAllStringSubmatch(string(text), -1) {
				known[m[1]] = true
			}
		}
	}
	return known
}
