package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const startPage = "../../docs/start.md"

var shellBlock = regexp.MustCompile("(?s)\n```sh\n(.*?)\n```")

// startScript is what a section of docs/start.md says, word by word, behind a head.
// A doctor is asked until all is well, since what the line before has started
// takes a moment.
func startScript(t *testing.T, section, head string) string {
	t.Helper()
	page, err := os.ReadFile(startPage)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "\n## "+section+"\n")
	if !found {
		t.Fatalf("docs/start.md has no section %q", section)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	var b strings.Builder
	b.WriteString("set -eu\n" + head + "\n")
	doctor := false
	for _, block := range shellBlock.FindAllStringSubmatch(body, -1) {
		for line := range strings.Lines(block[1] + "\n") {
			line = strings.TrimSpace(line)
			fmt.Fprintf(&b, "echo '$ %s'\n", line)
			if strings.Contains(line, " doctor") {
				doctor = true
				line = fmt.Sprintf("n=0; until %s; do n=$((n+1)); [ $n -lt 60 ]; sleep 1; done", line)
			}
			fmt.Fprintln(&b, line)
		}
	}
	if !doctor {
		t.Fatalf("docs/start.md: section %q asks no doctor", section)
	}
	return b.String()
}

// alone are the settings of a DHT of one node, where there is no network.
var alone = []string{
	"RELAYMESH_ALLOW_PRIVATE=true", "RELAYMESH_DHT_SERVE=true", "RELAYMESH_DHT_LISTEN=127.0.0.1:6881", "RELAYMESH_DHT_BOOTSTRAP=127.0.0.1:6881",
}

// built returns where the packages and images of the page's version are, for make
// test-start.
func built(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("RELAYMESH_START")
	if dir == "" {
		t.Skip("it installs on fresh systems, for make test-start")
	}
	return dir
}

// fresh runs a script in a Debian that has just been made, and has no network.
func fresh(t *testing.T, script, file, include string, options ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script.sh")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "../../deploy/deb/test/run.sh", append([]string{path, file}, options...)...)
	cmd.Env = append(os.Environ(), "INCLUDE="+include)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// What the module proxy would serve is bound from this machine.
func TestStartFromSource(t *testing.T) {
	built(t)
	bare := filepath.Join(t.TempDir(), "relaymesh.git")
	if out, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", "--bare", "../..", bare).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	dirs := strings.Fields(string(out))
	head := "export " + strings.Join(alone, " ") + ` PATH=/usr/local/go/bin:$PATH GOPROXY=off GOFLAGS=-mod=mod GOMODCACHE=/mod GOCACHE=/cache
git config --global url./src.insteadOf https://github.com/relaymesh/relaymesh
git config --global --add safe.directory '*'
trap 'kill $(jobs -p) || true' EXIT`
	fresh(t, startScript(t, "From source", head), startPage, "git,make,ca-certificates",
		"--bind-ro="+dirs[0]+":/usr/local/go", "--bind-ro="+dirs[1]+":/mod", "--bind="+dirs[2]+":/cache", "--bind-ro="+bare+":/src")
}

func TestStartFromThePackage(t *testing.T) {
	dir := built(t)
	packages, err := filepath.Glob(filepath.Join(dir, "relaymesh_0.1.0_amd64.deb"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("%d packages, %v", len(packages), err)
	}
	head := "export " + strings.Join(alone, " ") + `
mkdir -p /etc/systemd/system/relaymesh.service.d
printf '[Service]\nEnvironment=` + strings.Join(alone, " ") + `\n' >/etc/systemd/system/relaymesh.service.d/alone.conf`
	fresh(t, startScript(t, "Debian and RPM packages", head), packages[0], "sudo,ca-certificates")
}

// inNetwork runs a script where docker is Podman, in a network of its own, so that
// the page's ports are free.
func (e engine) inNetwork(script string) {
	e.t.Helper()
	bin := e.t.TempDir()
	docker := `#!/bin/sh
case "$1 ${2:-}" in
"compose exec") shift 2; exec podman-compose exec -T "$@" ;;
compose*) shift; exec podman-compose "$@" ;;
esac
exec podman "$@"
`
	for name, text := range map[string]string{"docker": docker, "script.sh": script} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700); err != nil {
			e.t.Fatal(err)
		}
	}
	network := fmt.Sprintf("relaymesh-start-%d", os.Getpid())
	e.must("ip", "netns", "add", network)
	e.t.Cleanup(func() { e.must("ip", "netns", "delete", network) })
	inside := []string{"nsenter", "--net=/run/netns/" + network}
	e.t.Cleanup(func() { e.run(append(inside, "podman", "rm", "--all", "--force", "--time", "10")...) })
	e.must("ip", "-n", network, "link", "set", "lo", "up")
	out, ok := e.run(append(inside, "env", "PATH="+bin+":"+os.Getenv("PATH"), "sh", bin+"/script.sh")...)
	if !ok {
		logs, _ := e.run("sh", "-c", "for c in $(podman ps --all --quiet); do podman logs --names --tail 20 $c; done")
		e.t.Errorf("%s\nthe logs:\n%s", out, logs)
	}
}

func TestStartInAContainer(t *testing.T) {
	dir := built(t)
	e := newEngine(t, alone...)
	e.inNetwork(startScript(t, "Container", "cd "+dir))
}

func TestStartByCompose(t *testing.T) {
	dir := built(t)
	e := newEngine(t, alone...)
	const image = "docker.io/relaymesh/relaymesh:0.1.0"
	e.must("podman", "load", "--input", filepath.Join(dir, "relaymesh-0.1.0-image.tar"))
	// The relay's image is one of ours that runs as the relay does: without arguments.
	e.must("podman", "create", "--name", "relay", image)
	e.must("podman", "commit", "--quiet", "--change", `CMD ["up", "--relay-addr=0.0.0.0:7777", "--nats-listen=", "--data=/app/strfry-db"]`,
		"--change", "USER 0", "relay", "localhost/relay")
	e.must("podman", "rm", "relay")
	e.env = append(e.env, "RELAY_IMAGE=localhost/relay")
	e.inNetwork(startScript(t, "Compose", "cd ../.."))
}
