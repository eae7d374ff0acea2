package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const reference = "docker.io/relaymesh/thing:1.2.3"

// unpack writes the files of a tar archive into a directory of the test's own.
func unpack(t *testing.T, archive string) (dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir = t.TempDir()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// opened returns the index of all architectures in an archive, which has to have
// one, by this name.
func opened(t *testing.T, archive, reference string) v1.ImageIndex {
	t.Helper()
	root, err := layout.ImageIndexFromPath(unpack(t, archive))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := root.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%s: %d images, %v", archive, len(manifest.Manifests), err)
	}
	for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
		if is := manifest.Manifests[0].Annotations[key]; is != reference {
			t.Errorf("%s: the image is named %q by %s", archive, is, key)
		}
	}
	index, err := root.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("%s: %v", archive, err)
	}
	return index
}

// things writes a binary for each architecture.
func things(t *testing.T, dir string) (binaries []string) {
	t.Helper()
	for _, arch := range []string{"amd64", "arm64"} {
		path := filepath.Join(dir, "linux-"+arch, "thing")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("binary for "+arch), 0o700); err != nil {
			t.Fatal(err)
		}
		binaries = append(binaries, path)
	}
	return binaries
}

func licencesOf(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "licences.txt")
	if err := os.WriteFile(path, []byte("texts"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheSameBinariesMakeTheSameImage(t *testing.T) {
	dir := t.TempDir()
	binaries := things(t, dir)
	var archives [2][]byte
	for i, name := range []string{"a.tar", "b.tar"} {
		path := filepath.Join(dir, name)
		if _, err := image(path, reference, licencesOf(t, dir), binaries); err != nil {
			t.Fatal(err)
		}
		archives[i], _ = os.ReadFile(path)
	}
	if len(archives[0]) == 0 || !bytes.Equal(archives[0], archives[1]) {
		t.Error("made twice, the archive differs")
	}
	first := opened(t, filepath.Join(dir, "a.tar"), reference)
	if err := os.WriteFile(binaries[0], []byte("another"), 0o700); err != nil {
		t.Fatal(err)
	}
	was, _ := first.Digest()
	if other, err := image(filepath.Join(dir, "c.tar"), reference, licencesOf(t, dir), binaries); err != nil || other == was {
		t.Errorf("another binary makes the same image, %v", err)
	}
	for _, bad := range []string{"thing", "docker.io/relaymesh/thing", "docker.io/relaymesh/thing:1.2.3+build", "docker.io/Relaymesh/thing:1"} {
		if _, err := image(filepath.Join(dir, "d.tar"), bad, licencesOf(t, dir), binaries); err == nil {
			t.Errorf("an image is named %s", bad)
		}
	}
}

func TestAnImageIsForEachArchitecture(t *testing.T) {
	dir := t.TempDir()
	archive := filepath.Join(dir, "a.tar")
	if _, err := image(archive, reference, licencesOf(t, dir), things(t, dir)); err != nil {
		t.Fatal(err)
	}
	index := opened(t, archive, reference)
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
		if config.Config.User != "65532:65532" || config.Config.Entrypoint[0] != "/usr/bin/thing" {
			t.Errorf("image %d runs %v as %q", i, config.Config.Entrypoint, config.Config.User)
		}
		// To a Docker engine without OCI layouts the same archive is two images.
		suffix := strings.TrimPrefix(want, "linux")
		tag := reference
		if i > 0 {
			tag += "-" + suffix[1:]
		}
		image, err := tarball.ImageFromPath(archive, tagOf(t, tag))
		if err != nil {
			t.Fatal(err)
		}
		legacy, err := image.ConfigName()
		if same, _ := one.ConfigName(); err != nil || same != legacy {
			t.Errorf("manifest.json says that %s is %s, the index %s, %v", tag, legacy, same, err)
		}
	}
}

func tagOf(t *testing.T, reference string) *name.Tag {
	t.Helper()
	tag, err := name.NewTag(reference)
	if err != nil {
		t.Fatal(err)
	}
	return &tag
}

// The test itself is a Go binary, whose modules have licences.
func TestLicencesOfAllModules(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := licences(&b, []string{self, self}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The Go Authors", "\ngithub.com/google/go-containerregistry@v", "Apache License", "\ngolang.org/x/sync@v"} {
		if strings.Count(b.String(), want) == 0 {
			t.Errorf("no %q in the licences", want)
		}
	}
	for text, is := range map[string]bool{
		"Mozilla Public License Version 2.0\n====": true, "Mozilla Public License, version 2.0": true, "Mozilla Public License Version 1.1": false,
	} {
		if mozilla.MatchString(text) != is {
			t.Errorf("%q: Mozilla's is %t", text, !is)
		}
	}
	if err := licences(io.Discard, []string{"dist_test.go"}); err == nil {
		t.Error("lists the licences of a text file")
	}
}

func TestAModuleWithoutALicenceIsRefused(t *testing.T) {
	const without = "github.com/anacrolix/sync@v0.4.0" // v0.5.1 has one
	if files, err := licenceFiles(without); err == nil || !strings.Contains(err.Error(), without) {
		t.Errorf("licences of %s: %v, %v", without, files, err)
	}
	files, err := licenceFiles("github.com/anacrolix/sync@v0.5.1")
	if err != nil || len(files) != 1 {
		t.Errorf("files %v, %v", files, err)
	}
}

func TestNotesAreThoseOfTheVersion(t *testing.T) {
	const changelog = "# Changes\n\nAbout.\n\n## Unreleased\n\nsoon\n\n### Added\n\n- x\n\n## [1.1.0] - 2026-01-02\n\nnew\n\n## 1.0.0\n\nfirst\n"
	for version, want := range map[string]string{
		"2.0.0": "# relaymesh 2.0.0\n\nsoon\n\n### Added\n\n- x\n",
		"1.1.0": "# relaymesh 1.1.0\n\nnew\n",
		"1.0.0": "# relaymesh 1.0.0\n\nfirst\n",
	} {
		var b strings.Builder
		if err := notes(&b, changelog, version); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v", version, b.String(), err)
		}
	}
	if err := notes(io.Discard, "# Changes\n\n## 1.0.0\n\nfirst\n", "1.1.0"); err == nil {
		t.Error("there are notes of what no heading names")
	}
}
