package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestTheSameBinariesMakeTheSameImage(t *testing.T) {
	dir := t.TempDir()
	var binaries []string
	for _, arch := range []string{"amd64", "arm64"} {
		path := filepath.Join(dir, "thing-linux-"+arch)
		if err := os.WriteFile(path, []byte("binary for "+arch), 0o700); err != nil {
			t.Fatal(err)
		}
		binaries = append(binaries, path)
	}
	first, err := image(filepath.Join(dir, "a"), "thing", binaries)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := image(filepath.Join(dir, "b"), "thing", binaries); err != nil || again != first {
		t.Errorf("made %s, then %s, %v", first, again, err)
	}
	if err := os.WriteFile(binaries[0], []byte("another"), 0o700); err != nil {
		t.Fatal(err)
	}
	if other, err := image(filepath.Join(dir, "c"), "thing", binaries); err != nil || other == first {
		t.Errorf("another binary makes the same image, %v", err)
	}

	root, err := layout.ImageIndexFromPath(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	index, err := root.ImageIndex(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"linux/amd64", "linux/arm64"} {
		d := manifest.Manifests[i]
		one, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := one.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if d.Platform.String() != want || config.OS+"/"+config.Architecture != want {
			t.Errorf("image %d is for %s, its config for %s", i, d.Platform, config.Architecture)
		}
		if config.Config.User != nobody || config.Config.Entrypoint[0] != "/usr/bin/thing" {
			t.Errorf("image %d runs %v as %q", i, config.Config.Entrypoint, config.Config.User)
		}
	}
}

func TestSBOMListsTheModules(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := sbom(&b, self); err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(b.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, p := range d.Packages {
		found = found || p.Name == "github.com/google/go-containerregistry" && strings.HasPrefix(p.VersionInfo, "v0.")
	}
	if !found || len(d.Relationships) != len(d.Packages) {
		t.Errorf("lists %d packages, %d relationships, go-containerregistry: %t", len(d.Packages), len(d.Relationships), found)
	}
	if err := sbom(&b, "dist_test.go"); err == nil {
		t.Error("lists what is in a text file")
	}
}
