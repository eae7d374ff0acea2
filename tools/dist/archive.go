package main

import (
	"archive/tar"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// writeArchive writes an OCI layout as a tar file, with what docker save writes
// beside one. The one name is where containerd looks for it, the other where
// Podman and Skopeo do.
func writeArchive(path, reference string, index v1.ImageIndex, manifest tarball.Manifest) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), "layout")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := layout.Write(dir, empty.Index); err != nil {
		return err
	}
	named := layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          reference,
		"org.opencontainers.image.ref.name": reference,
	})
	if err := layout.Path(dir).AppendIndex(index, named); err != nil {
		return err
	}
	list, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), list, 0o600); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := tarDir(f, dir); err != nil {
		return err
	}
	return f.Close()
}

// tarDir writes the files of a directory in the order of their names.
func tarDir(to io.Writer, dir string) error {
	w := tar.NewWriter(to)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		inside, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return addFile(w, path, inside, 0o444)
	})
	if err != nil {
		return err
	}
	return w.Close()
}

// addFile adds a file without times and owners, which would differ from build to
// build.
func addFile(w *tar.Writer, path, inside string, mode int64) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: inside, Mode: mode, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}
