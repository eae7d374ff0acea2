package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

var (
	machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	rpmArch  = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}
	binaries = []string{"relaymesh", "ingest", "dhtworker", "syncworker", "fetcher", "gateway"}
)

// released returns where make release left its files, and their version, for
// make test-dist; the tests of what is released are skipped elsewhere.
func released(t *testing.T) (dir, version string) {
	t.Helper()
	dir, version = os.Getenv("RELAYMESH_DIST"), os.Getenv("RELAYMESH_VERSION")
	if dir == "" {
		t.Skip("it looks at what make release made, for make test-dist")
	}
	return dir, version
}

func TestReleaseHasAllFiles(t *testing.T) {
	dir, version := released(t)
	want := []string{"THIRD-PARTY-LICENSES.txt", "RELEASE-NOTES.md"}
	for arch := range machines {
		want = append(want, "relaymesh-"+version+"-linux-"+arch+".tar.gz")
		for _, name := range binaries {
			want = append(want, name+"-"+version+"-linux-"+arch+".cdx.json")
		}
	}
	for _, name := range binaries {
		want = append(want, name+"-"+version+"-image.tar")
	}
	have := checkSums(t, dir)
	for arch := range machines {
		for _, pattern := range []string{"relaymesh_*_" + arch + ".deb", "relaymesh-*." + rpmArch[arch] + ".rpm"} {
			packages, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil || len(packages) != 1 {
				t.Fatalf("%d packages %s, %v", len(packages), pattern, err)
			}
			want = append(want, filepath.Base(packages[0]))
		}
	}
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("SHA256SUMS has\n%q, want\n%q", have, want)
	}
}

// checkSums returns the files that SHA256SUMS names, which must be all that are
// there, with these sums.
func checkSums(t *testing.T, dir string) (files []string) {
	t.Helper()
	list, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		sum, file, _ := strings.Cut(lines.Text(), "  ")
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if is := sha256.Sum256(data); hex.EncodeToString(is[:]) != sum {
			t.Errorf("%s has not the sum that SHA256SUMS says", file)
		}
		files = append(files, file)
	}
	slices.Sort(files)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(files)+1 {
		t.Errorf("there are %d files, and SHA256SUMS lists %d, %v", len(entries), len(files), err)
	}
	return files
}

// A tar file for each architecture has the binaries; what they link is in the
// list beside them, and the image holds the same.
func TestReleaseOfEachBinary(t *testing.T) {
	dir, version := released(t)
	texts, err := os.ReadFile(filepath.Join(dir, "THIRD-PARTY-LICENSES.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for arch, machine := range machines {
		top := "relaymesh-" + version + "-linux-" + arch
		files := untar(t, filepath.Join(dir, top+".tar.gz"))
		for _, page := range []string{"README.md", "LICENSE", "docs/start.md", "deploy/systemd/relaymesh.service", "THIRD-PARTY-LICENSES.txt"} {
			if len(files[top+"/"+page]) == 0 {
				t.Errorf("the tar file for %s has no %s", arch, page)
			}
		}
		for _, name := range binaries {
			data := files[top+"/bin/"+name]
			checkBinary(t, name, data, machine)
			checkSBOM(t, filepath.Join(dir, name+"-"+version+"-linux-"+arch+".cdx.json"), data, texts)
			image := imageFor(t, filepath.Join(dir, name+"-"+version+"-image.tar"), "docker.io/relaymesh/"+name+":"+version, arch)
			inside := contents(t, image)
			if len(inside) != 2 || !bytes.Equal(inside["usr/bin/"+name], data) ||
				!bytes.Equal(inside["usr/share/doc/relaymesh/THIRD-PARTY-LICENSES.txt"], texts) {
				t.Errorf("the image of %s for %s holds %d files, and not just its binary and the licences", name, arch, len(inside))
			}
		}
	}
}

// checkBinary checks that a binary is a static one for that machine.
func checkBinary(t *testing.T, name string, data []byte, machine elf.Machine) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if f.Machine != machine {
		t.Errorf("%s is for %s, not %s", name, f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s needs a dynamic linker, which the image lacks", name)
		}
	}
}

// checkSBOM checks that the list of a binary has the modules that are linked, and
// that each has its licence in the texts.
func checkSBOM(t *testing.T, path string, binary, texts []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BOMFormat  string
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(data, &bom); err != nil || bom.BOMFormat != "CycloneDX" {
		t.Fatalf("%s is %q, %v", path, bom.BOMFormat, err)
	}
	listed := map[string]string{}
	for _, c := range bom.Components {
		listed[c.Name] = c.Version
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range info.Deps {
		if listed[m.Path] != m.Version {
			t.Errorf("%s lists %s %q, which is %s in the binary", path, m.Path, listed[m.Path], m.Version)
		}
		if !bytes.Contains(texts, []byte("\n"+m.Path+"@"+m.Version+", ")) {
			t.Errorf("no licence of %s", m.Path)
		}
	}
	if len(bom.Components) != len(info.Deps)+1 || listed["std"] == "" {
		t.Errorf("%s lists %d components, want %d modules and the standard library", path, len(bom.Components), len(info.Deps))
	}
}

func imageFor(t *testing.T, archive, reference, arch string) v1.Image {
	t.Helper()
	index := opened(t, archive, reference)
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != len(machines) {
		t.Errorf("%s is for %d architectures", archive, len(manifest.Manifests))
	}
	for _, d := range manifest.Manifests {
		if d.Platform.Architecture == arch {
			image, err := index.Image(d.Digest)
			if err != nil {
				t.Fatal(err)
			}
			return image
		}
	}
	t.Fatalf("%s has no image for %s", archive, arch)
	return nil
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
		readTar(t, r, files)
		_ = r.Close()
	}
	return files
}

func untar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	readTar(t, r, files)
	return files
}

func readTar(t *testing.T, r io.Reader, files map[string][]byte) {
	t.Helper()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if files[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

// The packages have what the tar files have, and a unit for each way to run.
func TestReleasePackages(t *testing.T) {
	dir, _ := released(t)
	want := []string{
		"/etc/relaymesh/config.yaml", "/etc/relaymesh/workers.yaml", "/usr/lib/systemd/system/relaymesh.service",
		"/usr/lib/systemd/system/relaymesh@.service", "/usr/share/doc/relaymesh/THIRD-PARTY-LICENSES.txt",
		"/usr/share/doc/relaymesh/copyright", "/usr/share/man/man1/relaymesh.1.gz",
	}
	for _, name := range binaries {
		want = append(want, "/usr/bin/"+name)
	}
	for tool, list := range map[string]func(file string) []string{
		"dpkg-deb": func(file string) []string {
			return []string{"sh", "-c", "dpkg-deb --fsys-tarfile " + file + " | tar -t"}
		},
		"rpm": func(file string) []string { return []string{"rpm", "-qlp", file} },
	} {
		kind := map[string]string{"dpkg-deb": "deb", "rpm": "rpm"}[tool]
		files, err := filepath.Glob(filepath.Join(dir, "*."+kind))
		if err != nil || len(files) != len(machines) {
			t.Fatalf("%d packages %s, %v", len(files), kind, err)
		}
		for _, file := range files {
			out := command(t, tool, list(file)...)
			for _, path := range want {
				if !slices.Contains(strings.Fields(strings.ReplaceAll("\n"+out, "\n./", "\n/")), path) {
					t.Errorf("%s lacks %s", file, path)
				}
			}
		}
	}
}

// command returns what a command prints that Debian's package tool has; make
// test-dist installs it.
func command(t *testing.T, tool string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Fatalf("make test-dist needs %s", tool)
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}
