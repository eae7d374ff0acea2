package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nobody runs the binary; the number that distroless images use, too.
const nobody = "65532:65532"

// image writes one image for all architectures and returns its digest. It
// holds a static binary and nothing else: no shell, no packages.
func image(dir, name string, binaries []string) (v1.Hash, error) {
	var index v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, path := range binaries {
		arch := path[strings.LastIndexByte(path, '-')+1:]
		one, err := imageOf(name, path, arch)
		if err != nil {
			return v1.Hash{}, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: one, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	if _, err := layout.Write(dir, empty.Index); err != nil {
		return v1.Hash{}, fmt.Errorf("write layout: %w", err)
	}
	if err := layout.Path(dir).AppendIndex(index); err != nil {
		return v1.Hash{}, fmt.Errorf("write image: %w", err)
	}
	return index.Digest()
}

func imageOf(name, path, arch string) (v1.Image, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	// No times and no owners: they would differ from build to build.
	if err := w.WriteHeader(&tar.Header{Name: "usr/bin/" + name, Mode: 0o555, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	with, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, err
	}
	config, err := with.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Config.Entrypoint = []string{"/usr/bin/" + name}
	config.Config.User = nobody
	config.Config.Labels = map[string]string{
		"org.opencontainers.image.title":    name,
		"org.opencontainers.image.source":   "https://github.com/relaymesh/relaymesh",
		"org.opencontainers.image.licenses": "MIT",
	}
	return mutate.ConfigFile(with, config)
}
