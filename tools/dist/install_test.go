package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// go install MODULE/cmd/relaymesh@VERSION takes the module as a proxy has it:
// without what the rules of modules leave out, and without replace directives.
func TestReleaseCanBeInstalledByGo(t *testing.T) {
	_, version := released(t)
	root := t.TempDir() // a whole repository, which a worktree is not
	if out, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", "../..", root).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	const path = "github.com/relaymesh/relaymesh"
	m := module.Version{Path: path, Version: "v" + version}
	proxy := t.TempDir()
	at := filepath.Join(proxy, path, "@v")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(at, m.Version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	if err := zip.CreateFromVCS(f, m, root, "HEAD", ""); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	info := `{"Version":"` + m.Version + `","Time":"` + time.Unix(0, 0).UTC().Format(time.RFC3339) + `"}`
	for name, text := range map[string]string{m.Version + ".mod": string(mod), m.Version + ".info": info, "list": m.Version + "\n"} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin, cache := t.TempDir(), t.TempDir()
	goCmd := func(env ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", "install", path+"/cmd/relaymesh@"+m.Version)
		cmd.Env = append(os.Environ(), append(env, "GOBIN="+bin, "GOFLAGS=-modcacherw -trimpath", "CGO_ENABLED=0")...)
		cmd.Dir = t.TempDir()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go install: %v\n%s", err, out)
		}
	}
	// What this machine has downloaded is the second proxy, so that nothing is
	// downloaded again; a cache of the test's own keeps the version out of the machine's.
	modcache, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	downloaded := "file://" + filepath.Join(strings.TrimSpace(string(modcache)), "cache", "download")
	goCmd("GOPROXY=file://"+proxy+","+downloaded, "GOSUMDB=off", "GOMODCACHE="+cache)
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "relaymesh"), "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), m.Version) {
		t.Errorf("installed, it is of version %s, %v", out, err)
	}
}
