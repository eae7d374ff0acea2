//go:build docs

package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// elsewhere lists what cannot run in a script, by how it begins: why, what
// runs it or the like of it instead, and what is looked at here. Everything
// else has to be in a script.
var elsewhere = []struct {
	begins, why, instead string
	look                 func(words []string) error
}{
	{"make ", "takes minutes, or runs these tests", ".ci/run, or nothing but who wants to measure", makeTarget},
	{"kubectl apply -k ", "needs a cluster", "make test-k8s", kustomizes},
	{"kubectl ", "needs a cluster", "make test-k8s", nil},
	{"helm ", "needs a cluster, and is a program of others", "nothing; deploy/k8s looks at the values", nil},
	{"skopeo copy ", "needs a registry", "make test-dist", nil},
	{"kind load ", "needs a cluster", "nothing", nil},
	{"deploy/k8s/nats/keys.sh ", "wants nk", "make test-k8s", nil},
	{"git clone ", "needs a network", "make test-start", nil},
	{"cd ", "is not about the program", "make test-start", nil},
	{"bin/relaymesh up --data data ", "runs on", "make test-start", nil},
	{"bin/relaymesh doctor", "wants what runs on", "make test-start", nil},
	{"go install github.com/relaymesh/relaymesh/cmd/relaymesh@", "takes minutes", "make test-dist", nil},
	{"sudo ", "changes the machine", "make test-start", nil},
	{"relaymesh doctor --config ", "wants the package", "make test-deb, make test-start", nil},
	{"docker ", "needs a container engine", "make test-start", nil},
	{"systemctl enable --now relaymesh", "changes the machine", "make test-deb", unitIsPackaged},
	{"sysctl ", "sets what the kernel does for the whole machine", "nothing", nil},
	{"nft ", "changes the machine's firewall", "nothing", nil},
	{"nats account backup", "is a program of others, whose flags are not ours", "nothing", nil},
	{"go test ./internal/sim -run TestSeeds", "repeats a seed that failed", "make test", goTest},
	{"go test ./internal/edge/mainline -run ", "is a test", "make test", goTest},
	{"go test -vet=off ./internal/edge/mainline", "is a test", "make test", nil},
	{"go test ./internal/contract -update", "changes what git has", "make test", nil},
	{"go test ./pkg/negentropy -run ", "is a test", "make test", goTest},
	{"go tool pprof cpu.prof", "reads what a script has just made", "nothing", nil},
	{"git grep -in", "is not about the program", "contributing_test.go", nil},
	{"relaymesh doctor --repair", "wants a damaged store", "make test", nil},
	{"go test -run XXX -bench ", "is a benchmark", "nothing, or nothing but who wants to measure", nil},
	{"relaymesh survey", "wants a pipeline that has surveyed", "make test", nil},
	{"relaymesh resolve --nats", "wants a pipeline whose dhtworker answers", "make test", nil},
	{"relaymesh provision --nats-max-store", "wants a server with little room", "make test", nil},
	{"relaymesh sync --dir none", "wants relays that lie", "make test", nil},
	{"relaymesh sync A B C ", "wants several relays", "make test", nil},
	{"relaymesh nats-permissions STAGE --nats-domain", "wants a domain of JetStream", "make test", nil},
	{"relaymesh nats-permissions console --nats-prefix", "wants a pipeline with a prefix", "make test", nil},
	{"relaymesh dht verify ", "wants a record on a DHT", "make test", nil},
	{"go build -tags scionic ./cmd/fetcher", "takes a minute", "make test-interop", builds},
}

func TestEveryCommandIsInAScript(t *testing.T) {
	run := inScripts(t)
	used := map[string]bool{} // of both lists
	for _, c := range shown(t) {
		if ok := covered(t, c, run, used); !ok {
			t.Errorf("%s: %q is in no script of testdata, and not among those that cannot run there", c.page, c.text)
		}
	}
	for _, e := range elsewhere {
		if !used[e.begins] {
			t.Errorf("no page shows a command that begins with %q: take it from the list", e.begins)
		}
	}
	for _, line := range run {
		if !used[line] {
			t.Errorf("a script runs %q, which no page shows", line)
		}
	}
}

func covered(t *testing.T, c command, run []string, used map[string]bool) (ok bool) {
	for _, line := range run {
		if c.text == line || !c.whole && names(c.text, line) {
			ok, used[line] = true, true
		}
	}
	if ok {
		return true
	}
	for _, e := range elsewhere {
		if !strings.HasPrefix(c.text+" ", e.begins) {
			continue
		}
		used[e.begins] = true
		if e.look != nil {
			if err := e.look(strings.Fields(c.text)); err != nil {
				t.Errorf("%s: %q: %v", c.page, c.text, err)
			}
		}
		return true
	}
	return false
}

// names reports whether a command, or one of those that a pipe joins, has all
// words of what a sentence calls it, in their order; … stands for anything.
func names(mention, line string) bool {
	for part := range strings.SplitSeq(line, " | ") {
		if inOrder(mention, part) {
			return true
		}
	}
	return inOrder(mention, line)
}

func inOrder(mention, line string) bool {
	program, words, _ := strings.Cut(line, " ")
	rest := append([]string{filepath.Base(program)}, strings.Fields(words)...)
	for i, word := range strings.Fields(strings.TrimPrefix(mention, "bin/")) {
		if word == "…" {
			continue
		}
		at := slices.Index(rest, word)
		if at < 0 || i == 0 && at > 0 {
			return false
		}
		rest = rest[at+1:]
	}
	return true
}

var doc = regexp.MustCompile(`(?m)^[^#\n]*?\$ (.+)$`)

// inScripts are the commands that the scripts run.
func inScripts(t *testing.T) (list []string) {
	t.Helper()
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		commands, _, _ := strings.Cut(string(text), "\n-- ")
		for _, found := range doc.FindAllStringSubmatch(commands, -1) {
			list = append(list, strings.Join(strings.Fields(found[1]), " "))
		}
	}
	return list
}

// makeTarget asks make what it would do.
func makeTarget(words []string) error {
	return output("make", append([]string{"--dry-run"}, words[1:]...)...)
}

func kustomizes(words []string) error {
	return output("kubectl", "kustomize", words[len(words)-1])
}

// unitIsPackaged looks whether the package brings a unit that can be enabled.
func unitIsPackaged(words []string) error {
	unit := words[len(words)-1] + ".service"
	text, err := os.ReadFile(filepath.Join(root, "deploy/systemd", unit))
	if err != nil {
		return err
	}
	packaged, err := os.ReadFile(filepath.Join(root, "deploy/nfpm.yaml"))
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), "WantedBy=") || !strings.Contains(string(packaged), "deploy/systemd/"+unit) {
		return fmt.Errorf("%s cannot be enabled, or is not in the package", unit)
	}
	return nil
}

// goTest looks whether the package has such a test.
func goTest(words []string) error {
	text, err := exec.Command("sh", "-c", "grep -hs \"func $1\\b\" "+filepath.Join(root, words[2])+"/*_test.go", "sh",
		words[4]).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s has no %s: %w: %s", words[2], words[4], err, text)
	}
	return nil
}

// builds looks whether the package and all that it imports are there.
func builds(words []string) error {
	return output("go", append([]string{"list", "-deps"}, words[2:]...)...)
}

// output runs a program in the repository.
func output(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, text)
	}
	return nil
}
