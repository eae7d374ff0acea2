package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// TestRelease looks at what make dist made; make test-dist says where it is.
func TestRelease(t *testing.T) {
	dir := os.Getenv("RELAYMESH_DIST")
	if dir == "" {
		t.Skip("it looks at what make dist made, for make test-dist")
	}
	sums := checkSums(t, dir)
	for _, name := range []string{"relaymesh", "ingest", "dhtworker", "syncworker", "fetcher"} {
		binaries := map[string][]byte{}
		for arch := range machines {
			file := name + "-linux-" + arch
			for _, released := range []string{file, file + ".spdx.json"} {
				if !sums[released] {
					t.Errorf("SHA256SUMS lacks %s", released)
				}
			}
			binaries[arch] = checkBinary(t, filepath.Join(dir, file), machines[arch])
			checkSPDX(t, filepath.Join(dir, file))
		}
		if !sums["images/"+name+"/index.json"] {
			t.Errorf("SHA256SUMS lacks the image of %s", name)
		}
		checkImage(t, filepath.Join(dir, "images", name), name, binaries)
	}
	for arch := range machines {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(sums)), func(file string) bool { return strings.HasSuffix(file, "_"+arch+".deb") }) {
			t.Errorf("SHA256SUMS lacks a package for %s", arch)
		}
	}
}

// checkSums returns the files that SHA256SUMS names, which must have these sums.
func checkSums(t *testing.T, dir string) map[string]bool {
	t.Helper()
	list, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		sum, file, _ := strings.Cut(lines.Text(), "  ")
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if is := sha256.Sum256(data); hex.EncodeToString(is[:]) != sum {
			t.Errorf("%s has not the sum that SHA256SUMS says", file)
		}
		files[file] = true
	}
	return files
}

// checkBinary returns a binary, which must be a static one for that machine.
func checkBinary(t *testing.T, path string, machine elf.Machine) []byte {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != machine {
		t.Errorf("%s is for %s", path, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s needs a dynamic linker, which the image lacks", path)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// checkSPDX checks the list beside a binary: complete, and whole by itself.
func checkSPDX(t *testing.T, binary string) {
	t.Helper()
	data, err := os.ReadFile(binary + ".spdx.json")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if d.SPDXVersion != "SPDX-2.3" || d.Name != filepath.Base(binary) || d.DocumentNamespace == "" || d.CreationInfo.Created == "" {
		t.Errorf("%s: the document is %s %q %q of %q", binary, d.SPDXVersion, d.Name, d.DocumentNamespace, d.CreationInfo.Created)
	}
	ids, listed := map[string]bool{d.ID: true}, map[string]string{}
	for _, p := range d.Packages {
		if ids[p.ID] {
			t.Errorf("%s: two packages are %s", binary, p.ID)
		}
		ids[p.ID], listed[p.Name] = true, p.VersionInfo
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		if listed[m.Path] != m.Version {
			t.Errorf("%s: lists %s %q, which is %s in the binary", binary, m.Path, listed[m.Path], m.Version)
		}
	}
	if len(d.Packages) != len(info.Deps)+2 || listed[info.Main.Path] == "" && info.Main.Version != "" {
		t.Errorf("%s: lists %d packages, want %d modules, the main one and the standard library", binary, len(d.Packages), len(info.Deps))
	}
	for _, r := range d.Relationships {
		if !ids[r.Element] || !ids[r.Related] {
			t.Errorf("%s: relates %s to %s, one of which is not in it", binary, r.Element, r.Related)
		}
	}
}

// checkImage checks that the image of each architecture holds its binary and nothing else.
func checkImage(t *testing.T, dir, name string, binaries map[string][]byte) {
	t.Helper()
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := root.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%s: %d images, %v", dir, len(manifest.Manifests), err)
	}
	index, err := root.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("%s: %v", dir, err)
	}
	platforms, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range platforms.Manifests {
		one, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		want := binaries[d.Platform.Architecture]
		if files := contents(t, one); len(files) != 1 || want == nil || !bytes.Equal(files["usr/bin/"+name], want) {
			t.Errorf("%s: the image for %s holds %d files, and not just its binary", dir, d.Platform, len(files))
		}
		delete(binaries, d.Platform.Architecture)
	}
	for arch := range binaries {
		t.Errorf("%s: no image for %s", dir, arch)
	}
}

func contents(t *testing.T, image v1.Image) map[string][]byte {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if files[h.Name], err = io.ReadAll(tr); err != nil {
				t.Fatal(err)
			}
		}
		_ = r.Close()
	}
	return files
}
